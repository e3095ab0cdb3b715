// zone: native
#include "layer/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <span>
#include <vector>

#include "sys/credentials.h"

namespace caisson::layer {
namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// What the C library needs to give and take memory, wait, and end.
constexpr int kCommon[] = {
    SYS_mmap,  SYS_munmap,          SYS_mremap,       SYS_brk,           SYS_madvise,
    SYS_futex, SYS_rt_sigprocmask,  SYS_rt_sigreturn, SYS_exit,          SYS_exit_group,
    SYS_read,  SYS_restart_syscall, SYS_getrandom,    SYS_clock_gettime, SYS_close,
};

constexpr int kDecoder[] = {SYS_pread64};

// No call that starts a program, makes a namespace or a socket, mounts, or touches a process. Nor
// one that opens with the meaning that an old open(2) has: openat(2) is for new files alone.
constexpr int kWriter[] = {
    SYS_write,     SYS_pwrite64,   SYS_openat,     SYS_openat2,   SYS_mkdirat,    SYS_mknodat,
    SYS_symlinkat, SYS_linkat,     SYS_unlinkat,   SYS_renameat2, SYS_fchown,     SYS_fchownat,
    SYS_fchmod,    SYS_fchmodat,   SYS_ftruncate,  SYS_utimensat, SYS_fsetxattr,  SYS_lsetxattr,
    SYS_fstat,     SYS_newfstatat, SYS_readlinkat, SYS_fchdir,    SYS_getdents64, SYS_lseek,
    SYS_fcntl,     SYS_ioctl,      SYS_wait4,
};

constexpr int kReader[] = {
    SYS_write,      SYS_openat,     SYS_openat2,    SYS_fstat,     SYS_newfstatat,
    SYS_readlinkat, SYS_getdents64, SYS_fchdir,     SYS_lseek,     SYS_pread64,
    SYS_flistxattr, SYS_fgetxattr,  SYS_llistxattr, SYS_lgetxattr,
};

[[maybe_unused]] int Install(std::span<const int> calls) {
  constexpr auto kCall = static_cast<unsigned>(offsetof(struct seccomp_data, nr));
  constexpr auto kMachine = static_cast<unsigned>(offsetof(struct seccomp_data, arch));
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kMachine),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kCall),
  };
  const auto allow = [&](std::span<const int> numbers) {
    for (const int number : numbers) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
  };
  allow(calls);
  allow(kCommon);
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog whole = {.len = static_cast<unsigned short>(program.size()),
                            .filter = program.data()};
  return sys::LoadSeccomp(&whole) == 0 ? 0 : errno;
}

int InstallUnlessSanitized([[maybe_unused]] std::span<const int> calls) {
#if defined(__SANITIZE_ADDRESS__)
  return 0;
#else
  return Install(calls);
#endif
}

}  // namespace

int InstallWriterFilter() {
  return InstallUnlessSanitized(kWriter);
}

int InstallDecoderFilter() {
  return InstallUnlessSanitized(kDecoder);
}

int InstallReaderFilter() {
  return InstallUnlessSanitized(kReader);
}

}  // namespace caisson::layer
