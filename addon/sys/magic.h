// zone: native (usable in the child zone)
#pragma once

#include <stdint.h>
#include <sys/vfs.h>

namespace caisson::sys {

// File system magic numbers of <linux/magic.h>, as fstatfs(2) tells them.
constexpr int64_t kProcMagic = 0x9fa0;
constexpr int64_t kSysfsMagic = 0x62656572;
constexpr int64_t kPipeMagic = 0x50495045;
constexpr int64_t kDevptsMagic = 0x1cd1;
constexpr int64_t kCgroup2Magic = 0x63677270;

// True when `fd` lies on a file system of that kind.
inline bool IsOn(int fd, int64_t magic) noexcept {
  struct statfs info;
  return fstatfs(fd, &info) == 0 && static_cast<int64_t>(info.f_type) == magic;
}

}  // namespace caisson::sys
