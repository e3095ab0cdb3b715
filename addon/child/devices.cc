// zone: child
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "child/steps.h"
#include "child/target.h"

namespace caisson::child {
namespace {

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
  // mknod(2) does not follow a link at the end, nor does the chown.
  const dev_t number = makedev(device.major, device.minor);
  if (mknodat(parent.fd, name, device.kind_and_mode, number) != 0 ||
      fchownat(parent.fd, name, device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    error = errno;
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
