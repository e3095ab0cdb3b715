// zone: native (usable in the child zone)
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace caisson::sys {

// openat2(2). EAGAIN means that something was renamed while ".." was resolved; it is tried again,
// a bounded number of times, for the one who renames may do so for ever.
inline int OpenAt2(int dir, const char* path, uint64_t flags, uint64_t resolve,
                   uint64_t mode = 0) noexcept {
  const struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  for (int attempt = 0;; ++attempt) {
    const long fd = syscall(437, dir, path, &how, sizeof how);
    if (fd >= 0 || attempt == 64 || (errno != EAGAIN && errno != EINTR)) {
      return static_cast<int>(fd);
    }
  }
}

// How every path inside a rootfs is opened: `root` is its "/", and what procfs calls a link is
// none.
constexpr uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

// A file of a procfs that an image may have had something mounted over: then EXDEV.
inline int OpenProcFile(int proc, const char* path, uint64_t flags) noexcept {
  return OpenAt2(proc, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

// faccessat2(2) with the effective ids and capabilities. glibc's faccessat() guesses on old
// kernels.
inline int AccessEffective(int dir, const char* path, int mode) noexcept {
  return static_cast<int>(syscall(439, dir, path, mode, AT_EACCESS));
}

}  // namespace caisson::sys
