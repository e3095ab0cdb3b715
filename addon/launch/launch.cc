// zone: native
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include <optional>

#include "base/guard.h"
#include "child/child.h"
#include "launch/children_in.h"
#include "launch/clone.h"
#include "launch/init_image.h"
#include "launch/overlay.h"
#include "launch/shared_memory.h"
#include "launch/user_namespace.h"
#include "sys/path.h"

namespace caisson::launch {
namespace {

// The folder of upper/ and work/: the one prepared, or the plan's.
Result<int> FolderOf(const Host& host, const LaunchPlan& plan, Prepared& prepared) {
  if (prepared.folder) return prepared.folder.get();
  if (plan.folder == nullptr) return Fail(Step::kScratchFolder, EINVAL);
  prepared.folder.reset(sys::OpenAt2(host.store.get(), plan.folder, O_RDONLY | O_DIRECTORY,
                                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (!prepared.folder) return FailErrno(Step::kScratchFolder);
  return prepared.folder.get();
}

Result<> PrepareRootfs(const Host& host, const LaunchPlan& plan, Prepared& prepared,
                       int user_namespace, std::string* kernel_log) {
  if (prepared.mount_namespace || prepared.rootfs) return {};
  const auto folder = FolderOf(host, plan, prepared);
  if (!folder) return std::unexpected(folder.error());
  if (const auto made = MakeScratch(*folder); !made) return std::unexpected(made.error());
  const Mapping mapping = {.owner = plan.user_namespace, .user_namespace = user_namespace};
  auto overlay = MakeOverlay(host, plan.layers, *folder, prepared.upper, plan.mount_label,
                             user_namespace >= 0 ? &mapping : nullptr, kernel_log);
  if (!overlay) return std::unexpected(overlay.error());
  prepared.rootfs = std::move(*overlay);
  return {};
}

// One descriptor per mount of the plan: -1 where the child makes it.
struct PlanMounts {
  std::vector<int> fds;
  std::vector<UniqueFd> owned;
};

Result<PlanMounts> PrepareMounts(const Host& host, const LaunchPlan& plan, Prepared& prepared,
                                 int user_namespace, std::string* kernel_log) {
  PlanMounts mounts;
  size_t source = 0;
  for (uint32_t i = 0; i < plan.mounts.count; ++i) {
    const MountItem& item = plan.mounts.items[i];
    const bool overlay = item.kind == protocol::MountKind::kOverlay;
    if (item.kind != protocol::MountKind::kBind && !overlay) {
      mounts.fds.push_back(-1);
      continue;
    }
    int fd = -1;
    if (source < prepared.bind_sources.size()) fd = prepared.bind_sources[source].get();
    ++source;
    if (fd < 0) {
      auto opened = OpenBindSource(item);
      if (!opened) return Fail(opened.error().step, opened.error().error, i);
      fd = opened->get();
      mounts.owned.push_back(std::move(*opened));
    }
    if (item.id_mapped) {
      const Extent extent = item.recursive && !overlay ? Extent::kTree : Extent::kMount;
      const auto mapped = MapMount(fd, user_namespace, extent);
      if (!mapped) return Fail(mapped.error().step, mapped.error().error, i);
    }
    if (overlay) {
      int folder = -1;
      if (const auto found = FolderOf(host, plan, prepared)) folder = *found;
      auto made = MountOverlayItem(host, item, fd, folder,
                                   user_namespace >= 0 ? &plan.user_namespace : nullptr,
                                   plan.mount_label, kernel_log);
      if (!made) return Fail(made.error().step, made.error().error, i);
      fd = made->get();
      mounts.owned.push_back(std::move(*made));
    }
    mounts.fds.push_back(fd);
  }
  return mounts;
}

// Once in a namespace of its own nothing of ours is in sight any more: neither the nodes of /dev
// that a user namespace needs, nor the sysfs and procfs without which it may make none.
bool MayEnterPrepared(const Host& host, const LaunchPlan& plan, const Prepared& prepared,
                      bool host_nodes) {
  if (!prepared.mount_namespace || (plan.namespaces & CLONE_NEWNS) == 0) return false;
  if (prepared.kit.fd(Part::kDevices) < 0) return false;
  if (!CAISSON_GUARD(kInRoot)) return false;  // a second wall, which older kernels do not have
  if (!host.rootless) return true;
  if ((plan.namespaces & CLONE_NEWNET) == 0 || !host_nodes) return false;
  int procs = 0;
  for (const MountItem& item : plan.mounts) {
    const bool plain = item.data.count == 0;
    // The first procfs without options is made before, see the child's step.
    if (item.kind == protocol::MountKind::kProc && (++procs > 1 || !plain)) return false;
    if (item.kind == protocol::MountKind::kSysfs && !plain) return false;
  }
  return prepared.kit.fd(Part::kSys) >= 0;
}

int PeerOf(const Prepared& prepared, Shared kind) {
  return prepared.peers[static_cast<size_t>(kind)].get();
}

std::unexpected<Failure> FailToShare(Shared kind, int error) {
  return Fail(Step::kShareNamespace, error, static_cast<uint32_t>(kind));
}

}  // namespace

Result<Started> Launch(const Host& host, const LaunchPlan& plan, Prepared& prepared,
                       const Cgroup& cgroup, const int stdio[3], Parent parent,
                       std::string* kernel_log) {
  Kit& kit = prepared.kit;
  const bool host_nodes =
      host.rootless && kit[Part::kDevices] && HasHostNodes(kit.fd(Part::kDevices));
  if (!MayEnterPrepared(host, plan, prepared, host_nodes)) prepared.mount_namespace.reset();
  UniqueFd user_namespace;
  if (plan.user_namespace.uid_map != nullptr) {
    auto made = MakeUserNamespace(host, plan.user_namespace);
    if (!made) return std::unexpected(made.error());
    user_namespace = std::move(*made);
    // What is prepared is the machine's: namespaces that its root has no power over.
    kit = {};
    prepared.mount_namespace.reset();
    prepared.rootfs.reset();
  }
  if (const auto ok = PrepareRootfs(host, plan, prepared, user_namespace.get(), kernel_log); !ok) {
    return std::unexpected(ok.error());
  }
  if (!kit[Part::kDevices]) {
    auto devices = MakeDevices(host, plan.mount_label);
    if (!devices) return std::unexpected(devices.error());
    kit[Part::kDevices] = std::move(*devices);
  }
  std::optional<IdMapping> mapping;
  if (user_namespace) {
    auto begun = BeginIdMapping(plan.user_namespace, kit.fd(Part::kDevices), stdio);
    if (!begun) return std::unexpected(begun.error());
    mapping = std::move(*begun);
  }
  const int ipc_peer = PeerOf(prepared, Shared::kIpc);
  if (ipc_peer >= 0) {
    // Half of what goes by the name of IPC is files there.
    auto memory = OpenSharedMemory(ipc_peer);
    if (!memory) return std::unexpected(memory.error());
    kit[Part::kShm] = std::move(*memory);
  }
  const auto mounts = PrepareMounts(host, plan, prepared, user_namespace.get(), kernel_log);
  if (!mounts) return std::unexpected(mounts.error());
  auto entry = OpenCgroupEntry(host, cgroup);
  if (!entry) return std::unexpected(entry.error());

  child::Context context;
  if (plan.init_argv != nullptr) {
    const auto image = InitImage();
    if (!image) return std::unexpected(image.error());
    context.init = *image;
  }
  context.launch = &plan;
  context.process = &plan.process;
  for (int i = 0; i < 3; ++i) context.stdio[i] = stdio[i];
  context.mount_namespace = prepared.mount_namespace.get();
  context.rootfs = prepared.rootfs.get();
  context.host_nodes = host_nodes;
  context.devices = kit.fd(Part::kDevices);
  context.pts = kit.fd(Part::kPts);
  context.shm = kit.fd(Part::kShm);
  context.mounts = mounts->fds.data();
  context.device_folder = host.devices.c_str();
  context.cover = host.cover.c_str();
  context.attach_at = host.attach_at.c_str();
  std::vector<const char*> names;
  context.cgroup2 = host.hierarchies.empty();
  for (size_t i = 0; i < host.hierarchies.size(); ++i) {
    const Hierarchy& hierarchy = host.hierarchies[i];
    if (hierarchy.v2) {
      context.cgroup2 = true;
    } else if (i < cgroup.folders.size() && cgroup.folders[i] && !hierarchy.name.empty()) {
      // Where it has no group of its own it would see that of its supervisor.
      names.push_back(hierarchy.name.c_str());
    }
  }
  context.cgroup1_names = {names.data(), static_cast<uint32_t>(names.size())};

  // The cgroup namespace is the child's to unshare; see its step.
  uint64_t namespaces = plan.namespaces & ~uint64_t{CLONE_NEWCGROUP};
  context.cgroup_namespace = namespaces != plan.namespaces;
  const auto enter = [&](uint64_t flag, Part part) {
    if ((namespaces & flag) == 0 || !kit[part]) return -1;
    namespaces &= ~flag;
    return kit.fd(part);
  };
  context.net = enter(CLONE_NEWNET, Part::kNet);
  context.ipc = enter(CLONE_NEWIPC, Part::kIpc);
  context.uts = enter(CLONE_NEWUTS, Part::kUts);
  // What shows a namespace is the container's only with it.
  if (context.net >= 0) context.sysfs = kit.fd(Part::kSys);
  if (context.ipc >= 0) context.mqueue = kit.fd(Part::kMqueue);
  if (context.net < 0) context.net = PeerOf(prepared, Shared::kNet);
  if (context.ipc < 0) context.ipc = ipc_peer;
  if (context.uts < 0) context.uts = PeerOf(prepared, Shared::kUts);
  context.raise_loopback = (namespaces & CLONE_NEWNET) != 0;
  if (context.mount_namespace >= 0) namespaces &= ~uint64_t{CLONE_NEWNS};
  if (mapping) {
    namespaces |= CLONE_NEWUSER;
    context.id_map = mapping->child.get();
    context.parents_ends[3] = mapping->parent.get();
    context.sysfs = mapping->sysfs.get();
  }
  std::optional<ChildrenIn> inside;
  if (const int peer = PeerOf(prepared, Shared::kPid); peer >= 0) {
    inside.emplace(peer);
    if (inside->error() != 0) return FailToShare(Shared::kPid, inside->error());
    // Its end is not the end of what it has started, which only the group knows then.
    context.subreaper = entry->empty();
  }
  auto started =
      CloneChild(host, namespaces, *entry, parent, prepared.gated, context, child::RunLaunch);
  // A pid namespace whose process 1 has died takes nobody in: pid_namespaces(7).
  if (inside && !started && started.error().error == ENOMEM) {
    return FailToShare(Shared::kPid, ESRCH);
  }
  if (started && mapping) EndIdMapping(host, plan, started->pid, *mapping);
  if (started && prepared.mount_namespace) {
    started->mount_namespace = std::move(prepared.mount_namespace);
  }
  return started;
}

}  // namespace caisson::launch
