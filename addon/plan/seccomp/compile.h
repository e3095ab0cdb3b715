// zone: native
#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.h"
#include "plan/seccomp/profile.h"

namespace caisson::seccomp {

struct Target {
  Architecture machine;       // kX86_64 or kAarch64
  uint64_t capabilities = 0;  // bit mask of those granted
  KernelVersion kernel;
};

#if defined(__x86_64__)
constexpr Architecture kThisMachine = Architecture::kX86_64;
#elif defined(__aarch64__)
constexpr Architecture kThisMachine = Architecture::kAarch64;
#else
#error "no table of system calls for this machine"
#endif

// A program for seccomp(2). Docker's default profile with its capabilities becomes 238 instructions
// on x86_64 (libseccomp 2.5: 1001), 81 without 32-bit and x32 calls; a call takes 11 steps on
// average (254), compiling 0.06 ms and loading 0.07 ms. test/native/seccomp/ prints these.
//
// The same profile and target give the same instructions. Calls that are
// newer than the newest one the profile is about get ENOSYS, unless the profile's default lets them
// pass: a C library has an answer to ENOSYS, and none to EPERM.
//
// Failure{kSeccomp, …}, index = the rule where one is to blame:
//   E2BIG   more than the kernel takes (BPF_MAXINSNS instructions), or more than anyone needs
//   EINVAL  an argument beyond the sixth; or, where the default lets calls pass, a rule forbids one
//           that nobody knows, and that would pass unnoticed. Other unknown names are passed over.
[[nodiscard]] Result<std::vector<sock_filter>> Compile(const Profile& profile,
                                                       const Target& target);

}  // namespace caisson::seccomp
