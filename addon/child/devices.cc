// zone: child
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "child/number.h"
#include "child/small_file.h"
#include "child/steps.h"
#include "sys/device_nodes.h"

namespace caisson::child {
namespace {

// mknod(2) does not follow a link at the end, nor does the chown.
int MakeAt(int folder, const char* name, const DeviceItem& device) noexcept {
  const dev_t number = makedev(device.major, device.minor);
  if (mknodat(folder, name, device.kind_and_mode, number) != 0 ||
      fchownat(folder, name, device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno;
  }
  return 0;
}

bool IsSameFileSystem(int one, int other) noexcept {
  struct stat info;
  struct stat others;
  return fstat(one, &info) == 0 && fstat(other, &others) == 0 && info.st_dev == others.st_dev;
}

// Nodes of the root cannot be opened (nodev), and a folder that was mounted there is the host's: a
// node is made nowhere but on our own tmpfs, and bound from there.
int MakeAndBind(Context& context, const DeviceItem& device) noexcept {
  const int folder =
      openat(context.devices, sys::kFilesFolder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return errno;
  char name[16] = "node";
  WriteNumber(name + 4, context.index);
  int error = MakeAt(folder, name, device);
  if (error == 0) error = BindFrom(context, folder, name, device.path);
  (void)close(folder);
  return error;
}

int MakeNode(Context& context, const DeviceItem& device) noexcept {
  // The parser has refused "/" and "..", so there is a last component to split off.
  char folder[PATH_MAX];
  size_t length = strlen(device.path);
  if (length >= sizeof folder) return ENAMETOOLONG;
  memcpy(folder, device.path, length + 1);
  while (length > 1 && folder[length - 1] == '/') folder[--length] = '\0';
  char* slash = strrchr(folder, '/');
  if (slash == nullptr) return EINVAL;
  const char* name = slash + 1;
  *slash = '\0';

  Target parent;
  int error = OpenTarget(context.rootfs, slash == folder ? "/" : folder, TargetKind::kFolder,
                         Links::kFollow, &parent);
  if (error != 0) return error;
  if (IsSameFileSystem(parent.fd, context.devices)) {
    error = MakeAt(parent.fd, name, device);
  } else {
    error = MakeAndBind(context, device);
  }
  (void)close(parent.fd);
  return error;
}

}  // namespace

int MakeDeviceNodes(Context& context) noexcept {
  const List<DeviceItem>& devices = context.launch->devices;
  for (uint32_t i = 0; i < devices.count; ++i) {
    context.index = i;
    if (const int error = MakeNode(context, devices.items[i]); error != 0) return error;
  }
  return 0;
}

}  // namespace caisson::child
