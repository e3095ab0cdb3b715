// zone: native
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// bpf(2), as far as programs that control devices go. The attribute is always passed whole: kernels
// from 6.17 on write to the end of it, however short the caller says it is.
namespace caisson::sys {

inline long Bpf(int command, bpf_attr& attr) noexcept {
  return syscall(SYS_bpf, command, &attr, sizeof attr);
}

// A descriptor above stderr's, close-on-exec; or -1 with errno.
inline int LoadDeviceProgram(const bpf_insn* program, size_t count) noexcept {
  static const char license[] = "Apache-2.0";
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uintptr_t>(program);
  attr.insn_cnt = static_cast<uint32_t>(count);
  attr.license = reinterpret_cast<uintptr_t>(license);
  long fd = -1;
  // The verifier gives up with EAGAIN when a signal is pending, and may be asked again.
  for (int attempt = 0; attempt < 5; ++attempt) {
    fd = Bpf(BPF_PROG_LOAD, attr);
    if (fd >= 0 || errno != EAGAIN) break;
  }
  if (fd < 0 || fd > STDERR_FILENO) return static_cast<int>(fd);
  // To some of its commands descriptor 0 is none at all.
  const int higher = fcntl(static_cast<int>(fd), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  (void)close(static_cast<int>(fd));
  return higher;
}

inline bpf_attr DeviceProgramOf(int group, int program) noexcept {
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = static_cast<uint32_t>(group);
  attr.attach_bpf_fd = static_cast<uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  return attr;
}

// Beside those of others: each of them must allow what is to be.
inline int AttachDeviceProgram(int group, int program) noexcept {
  bpf_attr attr = DeviceProgramOf(group, program);
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  return static_cast<int>(Bpf(BPF_PROG_ATTACH, attr));
}

inline int DetachDeviceProgram(int group, int program) noexcept {
  bpf_attr attr = DeviceProgramOf(group, program);
  return static_cast<int>(Bpf(BPF_PROG_DETACH, attr));
}

}  // namespace caisson::sys
