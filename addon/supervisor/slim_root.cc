// zone: native
#include "supervisor/slim_root.h"

#include <string>

#include "launch/short_child.h"
#include "supervisor/kernel.h"
#include "sys/mount.h"

namespace caisson {

namespace {

constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};

Result<UniqueFd> NewFileSystem(const char* type, const char* key, const char* value,
                               unsigned attr) {
  UniqueFd context(sys::FsOpen(type));
  if (!context) return FailErrno(Step::kSlimRoot);
  if (key != nullptr && sys::FsString(context.get(), key, value) != 0) {
    return FailErrno(Step::kSlimRoot);
  }
  if (sys::FsCreate(context.get()) != 0) return FailErrno(Step::kSlimRoot);
  UniqueFd mount(sys::FsMount(context.get(), attr));
  if (!mount) return FailErrno(Step::kSlimRoot);
  return mount;
}

// Only who owns the network namespace that it shows may mount one; and we stay in the host's, for
// the containers that are to have that.
Result<UniqueFd> NewSysfs(unsigned attr) {
  struct Made {
    unsigned attr;
    Result<UniqueFd> mount;
  } made = {attr, UniqueFd()};
  const auto ran = launch::RunInShortChild(
      CLONE_NEWNET, Step::kSlimRoot,
      [](void* argument) {
        auto* to = static_cast<Made*>(argument);
        to->mount = NewFileSystem("sysfs", nullptr, nullptr, to->attr);
      },
      &made);
  if (!ran) return std::unexpected(ran.error());
  return std::move(made.mount);
}

Result<> Attach(int mount_fd, int root_fd, const char* name) {
  UniqueFd target(openat(root_fd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW));
  if (!target || sys::MoveMount(mount_fd, target.get()) != 0) return FailErrno(Step::kSlimRoot);
  return {};
}

Result<> AttachStore(const char* store, int root_fd) {
  UniqueFd tree(sys::OpenTree(AT_FDCWD, store, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree && errno == EINVAL) {
    // In a user namespace what is mounted below may not be uncovered: copy it along.
    tree.reset(sys::OpenTree(AT_FDCWD, store, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  }
  if (!tree) return FailErrno(Step::kSlimRoot);
  mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attr.propagation = MS_PRIVATE;
  // Kernels before 5.12 do not have it; the attributes are a second line of defence.
  (void)sys::MountSetAttr(tree.get(), AT_RECURSIVE, attr);
  return Attach(tree.get(), root_fd, "store");
}

// In the machine's pid namespace a user namespace can make none.
Result<UniqueFd> HostProc() {
  UniqueFd tree(
      sys::OpenTree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) return FailErrno(Step::kSlimRoot);
  return tree;
}

Result<> AttachDevices(int root_fd) {
  UniqueFd folder(openat(root_fd, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return FailErrno(Step::kSlimRoot);
  for (const char* name : kDevices) {
    const std::string host_path = std::string("/dev/") + name;
    UniqueFd tree(sys::OpenTree(AT_FDCWD, host_path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!tree) continue;  // The container's start says which device it misses.
    UniqueFd target(openat(folder.get(), name, O_CREAT | O_RDONLY | O_CLOEXEC, 0666));
    if (!target) return FailErrno(Step::kSlimRoot);
    if (auto attached = Attach(tree.get(), folder.get(), name); !attached) return attached;
  }
  return {};
}

}  // namespace

Result<> EnterSlimRoot(const Options& options, launch::Host* host, std::string* detail) {
  const bool rootless = options.privilege == Privilege::kRootless;
  if (sys::Unshare(CLONE_NEWNS) != 0) return FailErrno(Step::kMountNamespace);
  *detail = "propagation";
  if (sys::Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return FailErrno(Step::kMountNamespace);
  }

  *detail = "tmpfs";
  auto root = NewFileSystem("tmpfs", "mode", "0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (!root) return std::unexpected(root.error());
  const int root_fd = root->get();
  // Mounted anywhere: pivot_root wants an attached mount.
  if (sys::MoveMountToPath(root_fd, options.run.c_str()) != 0) return FailErrno(Step::kSlimRoot);
  for (const char* name : {"store", "proc", "staging", "dev", "sys"}) {
    if (mkdirat(root_fd, name, 0755) != 0) return FailErrno(Step::kSlimRoot);
  }

  // A new procfs (and sysfs) in a user namespace needs a whole one in sight: while the old root is.
  constexpr unsigned kPlain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  *detail = "proc";
  auto proc =
      rootless && options.host_pids ? HostProc() : NewFileSystem("proc", nullptr, nullptr, kPlain);
  if (!proc) return std::unexpected(proc.error());
  if (auto attached = Attach(proc->get(), root_fd, "proc"); !attached) return attached;
  if (rootless) {
    *detail = "sysfs";
    auto sysfs = NewSysfs(kPlain | MOUNT_ATTR_RDONLY);
    if (!sysfs) return std::unexpected(sysfs.error());
    if (auto attached = Attach(sysfs->get(), root_fd, "sys"); !attached) return attached;
    *detail = "devices";
    if (auto attached = AttachDevices(root_fd); !attached) return attached;
  }
  *detail = "store";
  if (auto attached = AttachStore(options.root.c_str(), root_fd); !attached) return attached;

  *detail = "pivot_root";
  if (fchdir(root_fd) != 0 || sys::PivotRoot(".", ".") != 0) return FailErrno(Step::kSlimRoot);
  if (sys::Unmount(".", sys::MNT_DETACH) != 0 || chdir("/") != 0) return FailErrno(Step::kSlimRoot);

  host->store.reset(open("/store", O_PATH | O_DIRECTORY | O_CLOEXEC));
  host->proc.reset(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!host->store || !host->proc) return FailErrno(Step::kSlimRoot);
  host->rootless = rootless;
  host->host_pids = options.host_pids;
  host->devices = "/dev";
  host->cover = "/proc";
  host->staging = "/staging";
  detail->clear();
  return {};
}

}  // namespace caisson
