// zone: native
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "launch/launch.h"
#include "sys/mount.h"

namespace caisson::launch {
namespace {

struct Made {
  int proc = -1;
  int rootfs = -1;
  int fd = -1;
  Failure failure;
};

int Enter(Made* made) noexcept {
  const auto fail = [made](Step step) {
    made->failure = {.step = step, .error = errno};
    return 0;
  };
  if (sys::Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail(Step::kPropagation);
  }
  if (sys::MoveMountToPath(made->rootfs, "/") != 0) return fail(Step::kRootMount);
  if (fchdir(made->rootfs) != 0 || sys::PivotRoot(".", ".") != 0 ||
      sys::Unmount(".", sys::MNT_DETACH) != 0) {
    return fail(Step::kPivot);
  }
  made->fd = openat(made->proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
  return made->fd < 0 ? fail(Step::kMountNamespace) : 0;
}

// Runs in a child that shares memory and descriptors with us, in the new namespace.
int InNewNamespace(void* argument) noexcept {
  return Enter(static_cast<Made*>(argument));
}

}  // namespace

// The detaching of the old root waits for an RCU grace period, which is not on the path then.
Result<UniqueFd> MakeMountNamespace(const Host& host, int rootfs) {
  constexpr size_t kStack = 64 * 1024;
  alignas(
      16) static char stack[kStack];  // hands are single-threaded, and CLONE_VFORK makes us wait
  Made made;
  made.proc = host.proc.get();
  made.rootfs = rootfs;
  const pid_t pid = clone(InNewNamespace, stack + kStack,
                          CLONE_NEWNS | CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, &made);
  if (pid < 0) return FailErrno(Step::kMountNamespace);
  (void)RetryEintr([pid] { return waitpid(pid, nullptr, __WALL); });
  UniqueFd fd(made.fd);
  if (made.failure.step != Step::kNone) return std::unexpected(made.failure);
  return fd;
}

UniqueFd CloneDetached(int mount) {
  return UniqueFd(sys::OpenTree(mount, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
}

}  // namespace caisson::launch
