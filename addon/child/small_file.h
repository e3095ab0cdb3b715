// zone: child
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "child/context.h"
#include "child/target.h"
#include "sys/mount.h"

// What is made on our own tmpfs and bound over a file of the container: files.cc, devices.cc.
namespace caisson::child {

// `name` in `folder` over the file `path`, which is made if it is missing.
inline int BindFrom(const Context& context, int folder, const char* name,
                    const char* path) noexcept {
  const int mount =
      sys::OpenTree(folder, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  if (mount < 0) return errno;
  Target target;
  int error = OpenMountPoint(context.rootfs, path, TargetKind::kFile, &target);
  if (error == 0) {
    if (sys::MoveMount(mount, target.fd) != 0) error = errno;
    (void)close(target.fd);
  }
  (void)close(mount);
  return error;
}

}  // namespace caisson::child
