// zone: native
#include "supervisor/hand_start.h"

#include "base/arena.h"
#include "plan/parse.h"
#include "supervisor/kernel.h"
#include "supervisor/log_file.h"
#include "supervisor/remove_tree.h"

namespace caisson {

namespace {

// Flat structs are larger than the fields they come from; the worst is the list of executables to
// try, one per folder in PATH.
size_t ArenaBytes(size_t body_bytes) {
  return 64 * 1024 + body_bytes * 8;
}

// The group of a container, with its limits.
Result<launch::Cgroup> GroupOf(const launch::Host& host, const Message& job,
                               const LaunchPlan& plan) {
  const std::string name = job.First(JobTag::kGroup);
  if (name.empty()) return launch::Cgroup{};
  const uint64_t controls = job.Number(JobTag::kControls);
  Result<launch::Cgroup> group = launch::Cgroup{};
  const auto state = static_cast<GroupState>(job.Number(JobTag::kGroupState));
  bool limited = state == GroupState::kLimited;
  if (state != GroupState::kAbsent) group = launch::OpenCgroup(host, name, controls);
  if (state == GroupState::kAbsent || !group) {
    // Somebody who tidies up cgroups from outside may have taken it: then it is made anew.
    limited = false;
    group = launch::MakeCgroup(host, name, controls, plan.device_rules);
  }
  if (!group) return group;
  const auto written = limited ? launch::LimitCgroupAgain(host, plan.limits, *group)
                               : launch::LimitCgroup(host, plan.limits, *group);
  if (!written) return std::unexpected(written.error());
  return group;
}

Result<launch::Cgroup> ExecGroupOf(const launch::Host& host, const Message& job) {
  const std::string name = job.First(JobTag::kGroup);
  if (name.empty()) return launch::Cgroup{};
  return launch::MakeExecCgroup(host, job.First(JobTag::kParentGroup), name,
                                job.Number(JobTag::kControls));
}

void Started(Result<launch::Started> started, Message* reply) {
  if (!started) {
    reply->failure = started.error();
    return;
  }
  reply->pid = started->pid;
  reply->fd(Role::kPidfd) = std::move(started->pidfd);
  reply->fd(Role::kReport) = std::move(started->report);
  reply->fd(Role::kTerminal) = std::move(started->terminal);
  reply->fd(Role::kMountNamespace) = std::move(started->mount_namespace);
}

}  // namespace

void StartContainer(const launch::Host& host, Message& job, Message* reply) {
  const Bytes body = job.body ? job.body->bytes() : Bytes{};
  Arena arena(ArenaBytes(body.size()));
  const auto plan = ParseLaunch(body, arena);
  if (!plan) {
    reply->failure = plan.error();
    return;
  }

  launch::Prepared prepared;
  prepared.rootfs = std::move(job.fd(Role::kRootfs));
  prepared.mount_namespace = std::move(job.fd(Role::kMountNamespace));
  prepared.kit = job.TakeKit();
  prepared.bind_sources = std::move(job.more);
  for (size_t i = 0; i < kSharedKinds; ++i) prepared.peers[i] = std::move(job.peer(i));
  const std::string path = job.First(JobTag::kFolder);
  if (!path.empty()) {
    auto folder = OpenStoreFolder(host.store.get(), path, Missing::kCreate, Step::kScratchFolder);
    if (!folder) {
      reply->failure = folder.error();
      return;
    }
    prepared.folder = std::move(*folder);
    if (static_cast<Fate>(job.Number(JobTag::kFolderFate)) != Fate::kLeave) {
      prepared.upper = launch::Upper::kEphemeral;
    }
  }
  if ((*plan)->log.path != nullptr) {
    auto log = OpenLogFile(host.store.get(), (*plan)->log.path);
    if (!log) {
      reply->failure = log.error();
      return;
    }
    reply->fd(Role::kLog) = std::move(*log);
  }
  auto group = GroupOf(host, job, **plan);
  if (!group) {
    reply->failure = group.error();
    return;
  }
  const int stdio[3] = {job.fd(Role::kStdin).get(), job.fd(Role::kStdout).get(),
                        job.fd(Role::kStderr).get()};
  Started(launch::Launch(host, **plan, prepared, *group, stdio, launch::Parent::kSupervisor,
                         &reply->text),
          reply);
}

void StartExec(const launch::Host& host, Message& job, Message* reply) {
  const Bytes body = job.body ? job.body->bytes() : Bytes{};
  Arena arena(ArenaBytes(body.size()));
  const auto plan = ParseExec(body, arena);
  if (!plan) {
    reply->failure = plan.error();
    return;
  }
  auto group = ExecGroupOf(host, job);
  if (!group) {
    reply->failure = group.error();
    return;
  }
  const int stdio[3] = {job.fd(Role::kStdin).get(), job.fd(Role::kStdout).get(),
                        job.fd(Role::kStderr).get()};
  Started(launch::Join(host, **plan, job.fd(Role::kInit).get(), job.Number(JobTag::kNamespaces),
                       group->name.empty() ? nullptr : &*group, stdio, launch::Parent::kSupervisor),
          reply);
}

void OpenSources(Message& job, Message* reply) {
  const Bytes body = job.body ? job.body->bytes() : Bytes{};
  Arena arena(ArenaBytes(body.size()));
  const auto plan = ParseLaunch(body, arena);
  if (!plan) {
    reply->failure = plan.error();
    return;
  }
  for (uint32_t i = 0; i < (*plan)->mounts.count; ++i) {
    const MountItem& mount = (*plan)->mounts.items[i];
    using protocol::MountKind;
    if (mount.kind != MountKind::kBind && mount.kind != MountKind::kOverlay) continue;
    auto source = launch::OpenBindSource(mount);
    if (!source) {
      reply->failure = source.error();
      reply->failure.index = i;
      reply->more.clear();
      return;
    }
    reply->more.push_back(std::move(*source));
  }
}

UniqueFd NamespaceOf(const launch::Host& host, int rootfs) {
  const UniqueFd mount = launch::CloneDetached(rootfs);
  if (!mount) return {};
  auto made = launch::MakeMountNamespace(host, mount.get());
  return made ? std::move(*made) : UniqueFd();
}

void MakeSlot(const launch::Host& host, Message& job, Message* reply) {
  auto folder = OpenStoreFolder(host.store.get(), job.First(JobTag::kFolder), Missing::kCreate,
                                Step::kScratchFolder);
  if (!folder) {
    reply->failure = folder.error();
    return;
  }
  if (auto made = launch::MakeScratch(folder->get()); !made) {
    reply->failure = made.error();
    return;
  }
  const std::vector<std::string> names = job.All(JobTag::kLayer);
  std::vector<const char*> layers;
  for (const std::string& name : names) layers.push_back(name.c_str());
  auto rootfs =
      launch::MakeOverlay(host, {layers.data(), static_cast<uint32_t>(layers.size())},
                          folder->get(), launch::Upper::kEphemeral, nullptr, nullptr, &reply->text);
  if (!rootfs) {
    reply->failure = rootfs.error();
    return;
  }
  reply->fd(Role::kMountNamespace) = NamespaceOf(host, rootfs->get());
  reply->fd(Role::kRootfs) = std::move(*rootfs);
}

}  // namespace caisson
