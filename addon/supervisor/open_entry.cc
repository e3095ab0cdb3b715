// zone: native
#include "supervisor/open_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/retry_eintr.h"

namespace caisson {

Result<Opened> OpenEntry(int folder_fd, const char* name, uint64_t flags, Step step, UniqueFd* fd) {
  open_how how = {};
  how.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  for (int look = 0;; ++look) {
    const long opened =
        RetryEintr([&] { return syscall(SYS_openat2, folder_fd, name, &how, sizeof how); });
    if (opened >= 0) {
      fd->reset(static_cast<int>(opened));
      return Opened::kYes;
    }
    switch (errno) {
      case ENOENT:
        return Opened::kGone;
      case ELOOP:
      case ENOTDIR:
      case ENXIO:
        return Opened::kChanged;
      case EXDEV:
        return Opened::kOtherMount;
      case EPERM:
        if ((how.flags & O_NOATIME) == 0) return FailErrno(step);
        how.flags &= ~uint64_t{O_NOATIME};
        continue;
      case EAGAIN:  // A rename somewhere on the machine; openat2(2) asks to try again.
        if (look < 100) continue;
        [[fallthrough]];
      default:
        return FailErrno(step);
    }
  }
}

}  // namespace caisson
