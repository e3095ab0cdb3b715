// zone: native
#include <errno.h>
#include <fcntl.h>

#include "launch/launch.h"
#include "sys/mount.h"

namespace caisson::launch {

Result<UniqueFd> OpenBindSource(const MountItem& mount) {
  if (mount.source == nullptr) return Fail(Step::kBindSource, EINVAL);
  constexpr unsigned kFlags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  UniqueFd fd(sys::OpenTree(AT_FDCWD, mount.source,
                            kFlags | (mount.recursive ? unsigned{AT_RECURSIVE} : 0)));
  // In a user namespace mounts copied from the host are locked together: one cannot be cloned
  // without those on top of it, which may hide what is beneath (mount_namespaces(7)).
  if (!fd && errno == EINVAL && !mount.recursive) {
    fd.reset(sys::OpenTree(AT_FDCWD, mount.source, kFlags | AT_RECURSIVE));
  }
  if (!fd) return FailErrno(Step::kBindSource);
  return fd;
}

}  // namespace caisson::launch
