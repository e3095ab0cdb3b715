// zone: native
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "launch/launch.h"
#include "launch/short_child.h"
#include "sys/mount.h"

namespace caisson::launch {
namespace {

struct Made {
  int proc = -1;
  int rootfs = -1;
  int fd = -1;
  Failure failure;
};

void Enter(Made* made) noexcept {
  const auto fail = [made](Step step) { made->failure = {.step = step, .error = errno}; };
  if (sys::Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail(Step::kPropagation);
  }
  if (sys::MoveMountToPath(made->rootfs, "/") != 0) return fail(Step::kRootMount);
  if (fchdir(made->rootfs) != 0 || sys::PivotRoot(".", ".") != 0 ||
      sys::Unmount(".", sys::MNT_DETACH) != 0) {
    return fail(Step::kPivot);
  }
  made->fd = openat(made->proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (made->fd < 0) fail(Step::kMountNamespace);
}

}  // namespace

// The detaching of the old root waits for an RCU grace period, which is not on the path then.
Result<UniqueFd> MakeMountNamespace(const Host& host, int rootfs) {
  Made made;
  made.proc = host.proc.get();
  made.rootfs = rootfs;
  const auto ran = RunInShortChild(
      CLONE_NEWNS, Step::kMountNamespace,
      [](void* argument) { Enter(static_cast<Made*>(argument)); }, &made);
  if (!ran) return std::unexpected(ran.error());
  UniqueFd fd(made.fd);
  if (made.failure.step != Step::kNone) return std::unexpected(made.failure);
  return fd;
}

UniqueFd CloneDetached(int mount) {
  return UniqueFd(sys::OpenTree(mount, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
}

}  // namespace caisson::launch
