// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/filesystem.h"
#include "child/host_nodes.h"
#include "child/steps.h"
#include "child/target.h"
#include "sys/bind_nodes.h"
#include "sys/device_nodes.h"
#include "sys/magic.h"
#include "sys/mount.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

using protocol::MountKind;

const char* LabelOf(const Context& context) noexcept {
  return context.launch->mount_label;
}

// Opens where `item` goes; a failure is one of Step::kMountTarget.
int OpenMountTarget(Context& context, const MountItem& item, TargetKind kind, Links links,
                    Target* target) noexcept {
  const int error = links == Links::kFollow
                        ? OpenMountPoint(context.rootfs, item.target, kind, target)
                        : OpenTarget(context.rootfs, item.target, kind, links, target);
  if (error != 0) context.step = Step::kMountTarget;
  return error;
}

// Flags, then propagation, each to the one mount or the whole tree.
int SetAttributes(int mount, const MountItem& item, uint64_t propagation) noexcept {
  struct mount_attr attr = {
      .attr_set = item.attr,
      // The access-time setting is one field, not a set of bits: clear it to set it.
      .attr_clr = (item.attr & MOUNT_ATTR__ATIME) != 0 ? uint64_t{MOUNT_ATTR__ATIME} : 0,
      .propagation = 0,
      .userns_fd = 0};
  if (item.attr != 0 &&
      sys::MountSetAttr(mount, item.attr_recursive ? AT_RECURSIVE : 0, attr) != 0) {
    return errno;
  }
  attr = {.attr_set = 0, .attr_clr = 0, .propagation = propagation, .userns_fd = 0};
  return sys::MountSetAttr(mount, AT_RECURSIVE, attr) == 0 ? 0 : errno;
}

// A tree that was opened on the host, or an overlay made of one.
int MountPrepared(Context& context, const MountItem& item) noexcept {
  const int mount = context.mounts[context.index];
  struct stat info;
  if (mount < 0) return EBADF;
  if (fstat(mount, &info) != 0) return errno;
  Target target;
  const TargetKind kind = S_ISDIR(info.st_mode) ? TargetKind::kFolder : TargetKind::kFile;
  int error = OpenMountTarget(context, item, kind, Links::kFollow, &target);
  if (error != 0) return error;
  // While it is attached nowhere: nobody sees it in another state.
  error =
      SetAttributes(mount, item, item.propagation == 0 ? uint64_t{MS_PRIVATE} : item.propagation);
  if (error == 0 && sys::MoveMount(mount, target.fd) != 0) error = errno;
  (void)close(target.fd);
  // In the machine's pid namespace a user namespace can make no procfs: it has the machine's.
  if (error == 0 && context.proc < 0 && strcmp(item.target, "/proc") == 0 &&
      sys::IsOn(mount, sys::kProcMagic)) {
    context.proc = mount;
  }
  return error;
}

bool HasOption(const MountItem& item, const char* prefix) noexcept {
  for (const char* option : item.data) {
    if (strncmp(option, prefix, strlen(prefix)) == 0) return true;
  }
  return false;
}

// "mode=" and four octal digits.
void WriteModeOption(char* text, mode_t mode) noexcept {
  memcpy(text, "mode=", 5);
  for (int digit = 0; digit < 4; ++digit) {
    text[5 + digit] = static_cast<char>('0' + (mode >> (9 - 3 * digit) & 7));
  }
  text[9] = '\0';
}

int MountTmpfs(Context& context, const MountItem& item) noexcept {
  Target target;
  int error = OpenMountTarget(context, item, TargetKind::kFolder, Links::kFollow, &target);
  if (error != 0) return error;
  FileSystem fs = {
      .type = "tmpfs", .data = item.data, .attr = item.attr, .label = LabelOf(context)};
  // What is covered keeps its mode, /tmp its sticky bit.
  char mode[16];
  struct stat info;
  if (!HasOption(item, "mode=") && fstat(target.fd, &info) == 0) {
    WriteModeOption(mode, target.made ? 0755 : info.st_mode & 07777);
    fs.more[0] = mode;
  }
  int mount = -1;
  error = MountOver(fs, context.rootfs, item.target, target.fd, &mount);
  if (mount >= 0) (void)close(mount);
  (void)close(target.fd);
  return error;
}

// Mounts what the kernel makes up, over a folder that is no link, and looks whether it is there.
// `*mount` is the caller's to close.
int MountKernel(Context& context, const MountItem& item, const FileSystem& fs,
                int* mount) noexcept {
  Target target;
  int error = OpenMountTarget(context, item, TargetKind::kFolder, Links::kRefuse, &target);
  if (error != 0) return error;
  error = MountOver(fs, context.rootfs, item.target, target.fd, mount);
  (void)close(target.fd);
  return error;
}

int VerifyMagic(Context& context, const MountItem& item, int64_t magic) noexcept {
  int fd = -1;
  int error = OpenExisting(context.rootfs, item.target, Links::kRefuse, &fd);
  if (error != 0) return error;
  if (!sys::IsOn(fd, magic)) error = ENOTDIR;
  (void)close(fd);
  if (error != 0) context.step = Step::kMountTarget;
  return error;
}

// A detached mount without attributes, over a folder that is no link.
int AttachReady(Context& context, const MountItem& item, int ready) noexcept {
  Target target;
  int error = OpenMountTarget(context, item, TargetKind::kFolder, Links::kRefuse, &target);
  if (error != 0) return error;
  const struct mount_attr attr = {
      .attr_set = item.attr, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  if ((item.attr != 0 && sys::MountSetAttr(ready, 0, attr) != 0) ||
      sys::MoveMount(ready, target.fd) != 0) {
    error = errno;
  }
  (void)close(target.fd);
  return error;
}

int MountProc(Context& context, const MountItem& item) noexcept {
  int mount = context.ready_proc;
  int error = 0;
  if (mount >= 0 && item.data.count == 0) {
    context.ready_proc = -1;
    error = AttachReady(context, item, mount);
  } else {
    error =
        MountKernel(context, item, {.type = "proc", .data = item.data, .attr = item.attr}, &mount);
  }
  if (error != 0) return error;
  if (context.proc < 0 && (item.attr & MOUNT_ATTR_RDONLY) == 0 && item.data.count == 0) {
    context.proc = mount;
  } else {
    (void)close(mount);
  }
  return VerifyMagic(context, item, sys::kProcMagic);
}

// `fs`, or what was made beforehand in its place when the plan has no options of its own for it.
int MountReady(Context& context, const MountItem& item, int ready, const FileSystem& fs) noexcept {
  if (ready >= 0 && item.data.count == 0) return AttachReady(context, item, ready);
  int mount = -1;
  const int error = MountKernel(context, item, fs, &mount);
  if (mount >= 0) (void)close(mount);
  return error;
}

int MountSysfs(Context& context, const MountItem& item) noexcept {
  const int error = MountReady(context, item, context.sysfs,
                               {.type = "sysfs", .data = item.data, .attr = item.attr});
  return error != 0 ? error : VerifyMagic(context, item, sys::kSysfsMagic);
}

int MountShm(Context& context, const MountItem& item) noexcept {
  FileSystem fs = {
      .type = "tmpfs", .data = item.data, .attr = item.attr, .label = LabelOf(context)};
  if (item.data.count == 0) {
    fs.more[0] = "mode=1777";
    fs.more[1] = "size=64m";
  }
  return MountReady(context, item, context.shm, fs);
}

int BindDeviceNodes(Context& context, int folder) noexcept {
  const int host = OpenHostNodes(context);
  if (host < 0) return errno;
  const int error = sys::BindNodes(host, folder);
  (void)close(host);
  return error;
}

// Our own tree of nodes; a tmpfs of its own only when the plan has options for it.
int MountDev(Context& context, const MountItem& item) noexcept {
  Target target;
  int error = OpenMountTarget(context, item, TargetKind::kFolder, Links::kRefuse, &target);
  if (error != 0) return error;
  int mount = -1;
  if (item.data.count == 0) {
    const unsigned with_nodes = context.host_nodes ? AT_RECURSIVE : 0;
    mount = sys::OpenTree(context.devices, sys::kDevicesFolder,
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | with_nodes);
    if (mount < 0) {
      error = errno;
    } else if (item.attr != 0) {
      error = SetAttributes(mount, item, MS_PRIVATE);
    }
    if (error == 0 && sys::MoveMount(mount, target.fd) != 0) error = errno;
  } else {
    const FileSystem fs = {.type = "tmpfs",
                           .data = item.data,
                           .more = {"mode=0755", "size=64m"},
                           .attr = item.attr,
                           .label = LabelOf(context)};
    error = MountOver(fs, context.rootfs, item.target, target.fd, &mount);
    if (error == 0) {
      error =
          sys::FillDeviceFolder(mount, context.rootless ? sys::Nodes::kHolds : sys::Nodes::kMake);
    }
  }
  if (error == 0 && context.rootless && !(context.host_nodes && item.data.count == 0)) {
    error = BindDeviceNodes(context, mount);
    if (error != 0) context.step = Step::kDevices;
  }
  if (mount >= 0) (void)close(mount);
  (void)close(target.fd);
  return error;
}

int MountDevpts(Context& context, const MountItem& item) noexcept {
  FileSystem fs = {
      .type = "devpts", .data = item.data, .attr = item.attr, .label = LabelOf(context)};
  if (item.data.count == 0) {
    const char* const options[] = {"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"};
    static_assert(sizeof options / sizeof *options < sizeof fs.more / sizeof *fs.more);
    memcpy(fs.more, options, sizeof options);
  }
  int error = MountReady(context, item, context.pts, fs);
  if (error == EINVAL && (context.rootless || context.id_map >= 0)) {
    // Group 5 is not mapped in this user namespace: terminals then belong to the opener's group.
    fs.without = "gid=";
    if (item.data.count == 0) fs.more[3] = nullptr;
    error = MountReady(context, item, -1, fs);
  }
  return error;
}

int MountMqueue(Context& context, const MountItem& item) noexcept {
  const FileSystem fs = {.type = "mqueue", .data = item.data, .attr = item.attr};
  const char* label = LabelOf(context);
  // Nothing prepared is taken with a label: an IPC namespace to enter is then another's.
  const bool own = context.ipc < 0 && (context.launch->namespaces & CLONE_NEWIPC) != 0;
  if (label == nullptr || !own) return MountReady(context, item, context.mqueue, fs);
  // The kernel has made it with the namespace, and takes no label at a later mount.
  int mount = -1;
  int error = MountKernel(context, item, fs, &mount);
  if (error == 0 && (fchdir(mount) != 0 || syscall(SYS_setxattr, ".", "security.selinux", label,
                                                   strlen(label) + 1, 0) != 0)) {
    error = errno;
  }
  // There the folder is of the machine's root, and nobody inside can label it: the policy then
  // denies more than it would, not less.
  if (error == EPERM && mount >= 0 && context.launch->user_namespace.uid_map != nullptr) error = 0;
  if (mount >= 0) (void)close(mount);
  return error;
}

// One hierarchy of cgroup v1, or the v2 one, in a folder of the tmpfs over /sys/fs/cgroup.
int MountHierarchy(Context& context, int folder, const char* type, const char* name,
                   uint64_t attr) noexcept {
  const char* equals = strchr(name, '=');
  const char* folder_name = equals == nullptr ? name : equals + 1;
  if (mkdirat(folder, folder_name, 0755) != 0) return errno;
  FileSystem fs = {.type = type, .data = {}, .attr = attr};
  if (strcmp(type, "cgroup") == 0) {
    // "name=systemd" has no controller and says so.
    fs.more[0] = equals == nullptr ? name : "none";
    if (equals != nullptr) fs.more[1] = name;
  }
  const int target = openat(folder, folder_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target < 0) return errno;
  int mount = -1;
  const int error = MountOver(fs, context.rootfs, "/", target, &mount);
  if (mount >= 0) (void)close(mount);
  (void)close(target);
  return error;
}

// The container's own cgroup is the root of what is shown: we are in its cgroup namespace.
int MountCgroup(Context& context, const MountItem& item) noexcept {
  constexpr uint64_t kLocked = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  const uint64_t attr =
      kLocked |
      (CAISSON_GUARD(kCgroupReadOnly) ? item.attr : item.attr & ~uint64_t{MOUNT_ATTR_RDONLY});
  int mount = -1;
  if (context.cgroup1_names.count == 0) {
    int error = MountKernel(context, item, {.type = "cgroup2", .data = {}, .attr = attr}, &mount);
    if (error != 0 && context.rootless && context.step != Step::kMountTarget) {
      // No hierarchy is ours to show: an empty folder rather than the host's.
      error = MountKernel(context, item,
                          {.type = "tmpfs",
                           .data = {},
                           .more = {"mode=0755"},
                           .attr = kLocked | MOUNT_ATTR_RDONLY,
                           .label = LabelOf(context)},
                          &mount);
    }
    if (mount >= 0) (void)close(mount);
    return error;
  }
  int error = MountKernel(context, item,
                          {.type = "tmpfs",
                           .data = {},
                           .more = {"mode=0755"},
                           .attr = kLocked,
                           .label = LabelOf(context)},
                          &mount);
  if (error != 0) return error;
  for (const char* name : context.cgroup1_names) {
    if (error == 0) error = MountHierarchy(context, mount, "cgroup", name, attr);
  }
  if (error == 0 && context.cgroup2) {
    error = MountHierarchy(context, mount, "cgroup2", "unified", attr);
  }
  const struct mount_attr read_only = {
      .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  if (error == 0 && sys::MountSetAttr(mount, 0, read_only) != 0) error = errno;
  (void)close(mount);
  return error;
}

int ApplyMount(Context& context, const MountItem& item) noexcept {
  switch (item.kind) {
    case MountKind::kBind:
    case MountKind::kOverlay:
      return MountPrepared(context, item);
    case MountKind::kTmpfs:
      return MountTmpfs(context, item);
    case MountKind::kProc:
      return MountProc(context, item);
    case MountKind::kSysfs:
      return MountSysfs(context, item);
    case MountKind::kDev:
      return MountDev(context, item);
    case MountKind::kDevpts:
      return MountDevpts(context, item);
    case MountKind::kMqueue:
      return MountMqueue(context, item);
    case MountKind::kCgroup:
      return MountCgroup(context, item);
    case MountKind::kShm:
      return MountShm(context, item);
  }
  return EINVAL;
}

}  // namespace

// Before the prepared mount namespace is entered: in a user namespace the kernel makes a procfs
// only where a whole one is in sight (mount_too_revealing()).
int MakeProc(Context& context) noexcept {
  if (context.mount_namespace < 0) return 0;
  const List<MountItem>& mounts = context.launch->mounts;
  for (uint32_t i = 0; i < mounts.count; ++i) {
    if (mounts.items[i].kind != MountKind::kProc || mounts.items[i].data.count != 0) continue;
    context.index = i;
    return MakeDetached({.type = "proc", .data = {}}, &context.ready_proc);
  }
  return 0;
}

int ApplyMounts(Context& context) noexcept {
  const List<MountItem>& mounts = context.launch->mounts;
  for (uint32_t i = 0; i < mounts.count; ++i) {
    context.index = i;
    if (const int error = ApplyMount(context, mounts.items[i]); error != 0) return error;
  }
  return 0;
}

}  // namespace caisson::child
