// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "child/steps.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace caisson::child {

// Prepared: everything up to the pivot was done when it was made.
int EnterMountNamespace(Context& context) noexcept {
  if (context.mount_namespace < 0) return 0;
  if (sys::SetNs(context.mount_namespace, CLONE_NEWNS) != 0) return errno;
  context.rootfs = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return context.rootfs < 0 ? errno : 0;
}

int MakeMountsPrivate(Context& context) noexcept {
  if (context.mount_namespace >= 0) return 0;
  return sys::Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? 0 : errno;
}

// On top of "/": pivot_root(2) wants the new root to be a mount of this namespace, and "/" is the
// one folder that is certain to be there. Paths from "/" still lead to the tree beneath it. A
// bundle's goes over the folder it is of, where hooks look for it.
int AttachRootfs(Context& context) noexcept {
  if (context.mount_namespace >= 0) return 0;
  return sys::MoveMountToPath(context.rootfs, context.attach_at) == 0 ? 0 : errno;
}

// Where it goes out of sight with the old root.
int ShowSysfs(Context& context) noexcept {
  if (context.id_map < 0) return 0;
  const int error = sys::MoveMountToPath(context.sysfs, "/sys") == 0 ? 0 : errno;
  context.sysfs = -1;
  return error;
}

// The tmpfs that pieces are taken from must be in our namespace for open_tree(2) to clone them
// (detached trees can be cloned from 6.15 on only, and then a namespace is prepared). It goes with
// the old root.
int CoverWithDevices(Context& context) noexcept {
  if (context.mount_namespace >= 0) return 0;
  return sys::MoveMountToPath(context.devices, context.cover) == 0 ? 0 : errno;
}

// pivot_root(".", ".") needs no put_old folder in the image: the old root is left stacked on top of
// the new one, and that is where "." now resolves.
int EnterRootfs(Context& context) noexcept {
  if (context.mount_namespace < 0) {
    if (fchdir(context.rootfs) != 0) return errno;
    if (sys::PivotRoot(".", ".") != 0) return errno;

    // Detach lazily: the tree may be busy, and we must not wait for it.
    if (sys::Unmount(".", sys::MNT_DETACH) != 0) return errno;
  }
  return chdir("/") == 0 ? 0 : errno;
}

int MakeRootReadOnly(Context& context) noexcept {
  if (!context.launch->read_only_root) return 0;
  const struct mount_attr attr = {
      .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  return sys::MountSetAttr(context.rootfs, 0, attr) == 0 ? 0 : errno;
}

}  // namespace caisson::child
