// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/host_nodes.h"
#include "child/steps.h"
#include "child/target.h"
#include "sys/device_nodes.h"
#include "sys/mount.h"

namespace caisson::child {
namespace {

constexpr unsigned kClone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
constexpr struct mount_attr kReadOnly = {
    .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};

// What covers a masked path. The first one of a kind is cloned from where it lies and made fit, the
// further ones are clones of the first: one superblock for all (a tmpfs per mask would cost its
// making and its reaping each time).
struct Cover {
  int attached = -1;
};

int CoverWith(Cover& cover, int dir, const char* path, int target) noexcept {
  const bool first = cover.attached < 0;
  const int mount = first ? sys::OpenTree(dir, path, kClone)
                          : sys::OpenTree(cover.attached, "", kClone | AT_EMPTY_PATH);
  if (mount < 0) return errno;
  int error = 0;
  struct stat info;
  if (first && fstat(mount, &info) != 0) error = errno;
  // A file is covered with the null device, whatever else lies there; a folder is read-only.
  if (error == 0 && first && !S_ISDIR(info.st_mode) &&
      !sys::IsDevice(mount, sys::kDeviceNodes[0])) {
    error = ENODEV;
  }
  if (error == 0 && first && S_ISDIR(info.st_mode) && sys::MountSetAttr(mount, 0, kReadOnly) != 0) {
    error = errno;
  }
  if (error == 0 && sys::MoveMount(mount, target) != 0) error = errno;
  if (error == 0 && first) {
    cover.attached = mount;
  } else {
    (void)close(mount);
  }
  return error;
}

// What is not there needs no mask.
bool IsAbsent(int error) noexcept {
  return error == ENOENT || error == ENOTDIR;
}

int MaskPath(Context& context, const char* path, int hosts_devices, Cover& folders,
             Cover& files) noexcept {
  int target = -1;
  int error = OpenExisting(context.rootfs, path, Links::kFollow, &target);
  if (error != 0) return IsAbsent(error) ? 0 : error;
  struct stat info;
  if (fstat(target, &info) != 0) {
    error = errno;
  } else if (S_ISDIR(info.st_mode)) {
    error = CoverWith(folders, context.devices, sys::kEmptyFolder, target);
  } else if (context.rootless) {
    error = CoverWith(files, hosts_devices, "null", target);
  } else {
    error = CoverWith(files, context.devices, sys::kDevicesNull, target);
  }
  (void)close(target);
  return error;
}

}  // namespace

int MaskPaths(Context& context) noexcept {
  const List<const char*>& paths = context.launch->masked_paths;
  if (paths.count == 0 || !CAISSON_GUARD(kMasks)) return 0;
  int hosts_devices = -1;
  if (context.rootless) {
    hosts_devices = OpenHostNodes(context);
    if (hosts_devices < 0) return errno;
  }
  Cover folders;
  Cover files;
  int error = 0;
  for (uint32_t i = 0; i < paths.count && error == 0; ++i) {
    context.index = i;
    error = MaskPath(context, paths.items[i], hosts_devices, folders, files);
  }
  const int opened[] = {folders.attached, files.attached, hosts_devices};
  for (const int fd : opened) {
    if (fd >= 0) (void)close(fd);
  }
  return error;
}

// A bind of the path over itself, read-only with everything below it.
int ProtectPaths(Context& context) noexcept {
  if (!CAISSON_GUARD(kReadOnlyPaths)) return 0;
  const List<const char*>& paths = context.launch->read_only_paths;
  for (uint32_t i = 0; i < paths.count; ++i) {
    context.index = i;
    int target = -1;
    int error = OpenExisting(context.rootfs, paths.items[i], Links::kFollow, &target);
    if (IsAbsent(error)) continue;
    if (error != 0) return error;
    const int mount = sys::OpenTree(
        target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (mount < 0) {
      error = errno;
    } else {
      if (sys::MountSetAttr(mount, AT_RECURSIVE, kReadOnly) != 0 ||
          sys::MoveMount(mount, target) != 0) {
        error = errno;
      }
      (void)close(mount);
    }
    (void)close(target);
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace caisson::child
