// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/steps.h"
#include "sys/credentials.h"
#include "sys/device_nodes.h"
#include "sys/magic.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

// The container's own /dev/null, if that is what it is.
int OpenNull(int root, int* fd) noexcept {
  const int found = sys::OpenAt2(root, "dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK, sys::kInRoot);
  if (found < 0) return errno;
  if (CAISSON_GUARD(kNullDevice) && !sys::IsDevice(found, sys::kDeviceNodes[0])) {
    (void)close(found);
    return ENODEV;
  }
  *fd = found;
  return 0;
}

// So that /dev/stdout can be opened by its user. Only a pipe of the kernel's: everything else that
// may be passed, the host's /dev/null first of all, belongs to somebody.
int GiveAway(int fd, uid_t uid) noexcept {
  struct stat info;
  if (fstat(fd, &info) != 0) return errno;
  if (!S_ISFIFO(info.st_mode) || info.st_uid == uid || !sys::IsOn(fd, sys::kPipeMagic)) return 0;
  if (fchown(fd, uid, static_cast<gid_t>(-1)) == 0) return 0;
  // An id that is not mapped here: the pipe still works, its path does not.
  return errno == EPERM || errno == EINVAL ? 0 : errno;
}

}  // namespace

int SetUpStdio(Context& context) noexcept {
  for (int i = 0; i < 3; ++i) {
    context.index = static_cast<uint32_t>(i);
    int& fd = context.stdio[i];
    if (fd < 0) {
      if (const int error = OpenNull(context.rootfs, &fd); error != 0) return error;
    }
    if (const int error = GiveAway(fd, context.ids.uid); error != 0) return error;
    // Out of the way of the three numbers, or the first dup would close what the second needs.
    if (fd <= STDERR_FILENO) {
      fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
      if (fd < 0) return errno;
    }
  }
  for (int i = 0; i < 3; ++i) {
    context.index = static_cast<uint32_t>(i);
    if (dup3(context.stdio[i], i, 0) < 0) return errno;
  }
  return 0;
}

int StartSession(Context&) noexcept {
  return syscall(SYS_setsid) >= 0 ? 0 : errno;
}

// Keys of the program that started us are not the container's.
int NewKeyring(Context& context) noexcept {
  if (!CAISSON_GUARD(kOwnKeyring)) return 0;
  if (sys::JoinSessionKeyring() >= 0) return 0;
  switch (errno) {
    case ENOSYS:  // no keyrings in this kernel, or a filter around us (LXC) hides them:
    case EPERM:   // then nobody can read any
      return 0;
    case EDQUOT:
      // Whoever is not root may own 200 keys. The keyring we stay in is the supervisor's, which is
      // empty and holds nothing of the program's.
      return context.rootless || context.id_map >= 0 ||
                     (context.join_namespaces & CLONE_NEWUSER) != 0
                 ? 0
                 : EDQUOT;
    default:
      return errno;
  }
}

}  // namespace caisson::child
