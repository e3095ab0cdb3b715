// zone: native (usable in the child zone)
#pragma once

#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// Changes of identity for the calling thread alone: glibc's set*id() signal every thread of the
// process, which a fresh clone has not.
namespace caisson::sys {

inline int SetGroups(size_t count, const gid_t* groups) noexcept {
  return static_cast<int>(syscall(SYS_setgroups, count, groups));
}
inline int SetResGid(gid_t gid) noexcept {
  return static_cast<int>(syscall(SYS_setresgid, gid, gid, gid));
}
inline int SetResUid(uid_t uid) noexcept {
  return static_cast<int>(syscall(SYS_setresuid, uid, uid, uid));
}

inline int CapSet(uint64_t effective, uint64_t permitted, uint64_t inheritable) noexcept {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const struct __user_cap_data_struct data[2] = {
      {static_cast<uint32_t>(effective), static_cast<uint32_t>(permitted),
       static_cast<uint32_t>(inheritable)},
      {static_cast<uint32_t>(effective >> 32), static_cast<uint32_t>(permitted >> 32),
       static_cast<uint32_t>(inheritable >> 32)}};
  return static_cast<int>(syscall(SYS_capset, &header, data));
}

inline int Prctl(int option, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0,
                 unsigned long d = 0) noexcept {
  return static_cast<int>(syscall(SYS_prctl, option, a, b, c, d));
}

inline int LoadSeccomp(const void* program) noexcept {
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program));
}

inline int JoinSessionKeyring() noexcept {
  return static_cast<int>(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr, 0, 0, 0));
}

}  // namespace caisson::sys
