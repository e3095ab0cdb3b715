// zone: native (usable in the child zone)
#pragma once

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace caisson::sys {

// prlimit(2) with the kernel's 64-bit structure; ~0 is RLIM_INFINITY.
inline int SetRlimit(int kind, uint64_t soft, uint64_t hard) noexcept {
  const uint64_t limit[2] = {soft, hard};
  return static_cast<int>(syscall(SYS_prlimit64, 0, kind, limit, nullptr));
}

}  // namespace caisson::sys
