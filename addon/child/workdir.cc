// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/steps.h"
#include "child/target.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

// No link of procfs leads out of the root: /proc/self/fd/7 is ELOOP here.
int Enter(Context& context) noexcept {
  const char* path = context.process->cwd;
  const int fd = CAISSON_GUARD(kPlainWorkdir)
                     ? sys::OpenAt2(context.rootfs, path, O_PATH | O_DIRECTORY, sys::kInRoot)
                     : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = fchdir(fd) == 0 ? 0 : errno;
  (void)close(fd);
  return error;
}

}  // namespace

int MakeWorkdir(Context& context) noexcept {
  if (!CAISSON_GUARD(kPlainWorkdir)) return 0;
  Target target;
  const int error = OpenTarget(context.rootfs, context.process->cwd, TargetKind::kFolder,
                               Links::kFollow, &target);
  if (error == 0) (void)close(target.fd);
  // The user may be let in where we are not (a bind of a folder that root is squashed on).
  return error == EACCES ? 0 : error;
}

int EnterWorkdir(Context& context) noexcept {
  const int error = Enter(context);
  context.workdir_pending = error == EACCES;
  return context.workdir_pending ? 0 : error;
}

int VerifyWorkdir(Context& context) noexcept {
  if (context.workdir_pending) {
    if (const int error = Enter(context); error != 0) return error;
  }
  // glibc's getcwd() hides what the kernel says: "(unreachable)/…" is outside of our root.
  char path[PATH_MAX];
  if (syscall(SYS_getcwd, path, sizeof path) < 0) return errno;
  return path[0] == '/' || !CAISSON_GUARD(kPlainWorkdir) ? 0 : EXDEV;
}

}  // namespace caisson::child
