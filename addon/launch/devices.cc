// zone: native
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "launch/launch.h"
#include "sys/device_nodes.h"
#include "sys/mount.h"

namespace caisson::launch {
namespace {

int Fill(int root, bool rootless) noexcept {
  if (mkdirat(root, sys::kDevicesFolder, 0755) != 0 ||
      mkdirat(root, sys::kEmptyFolder, 0755) != 0 || mkdirat(root, sys::kFilesFolder, 0755) != 0) {
    return errno;
  }
  const UniqueFd devices(openat(root, sys::kDevicesFolder, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!devices) return errno;
  return sys::FillDeviceFolder(devices.get(), rootless ? sys::Nodes::kHolds : sys::Nodes::kMake);
}

}  // namespace

Result<UniqueFd> MakeDevices(const Host& host, const char* label) {
  const UniqueFd context(sys::FsOpen("tmpfs"));
  if (!context) return FailErrno(Step::kDevices);
  if (sys::FsString(context.get(), "source", "tmpfs") != 0 ||
      sys::FsString(context.get(), "mode", "0755") != 0 ||
      sys::FsString(context.get(), "size", "64m") != 0 ||
      (label != nullptr && sys::FsString(context.get(), "context", label) != 0) ||
      sys::FsCreate(context.get()) != 0) {
    return FailErrno(Step::kDevices);
  }
  UniqueFd mount(sys::FsMount(context.get(), MOUNT_ATTR_NOSUID));
  if (!mount) return FailErrno(Step::kDevices);
  const mode_t mask = umask(0);
  const int error = Fill(mount.get(), host.rootless);
  (void)umask(mask);
  if (error != 0) return Fail(Step::kDevices, error);
  return mount;
}

}  // namespace caisson::launch
