// zone: native
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "launch/kit.h"
#include "plan/launch_plan.h"
#include "plan/shared_namespaces.h"

// From a plan to a process. A library without a loop: every function here may block and is called
// by a hand (or by a one-shot process). Nothing is attached in the caller's mount namespace that
// outlives the call.
namespace caisson::launch {

// A group of a container or of an exec.
struct Cgroup {
  std::string name;               // path below the runtime's own cgroup: "c12", "c12/e3", …
  std::vector<UniqueFd> folders;  // O_PATH, in the order of Host::hierarchies; invalid: not in it
};

struct Hierarchy {
  UniqueFd folder;  // the runtime's own cgroup in this hierarchy
  bool v2 = false;
  std::string name;       // v1: what names it as a mount option ("pids", "freezer", "name=systemd")
  uint64_t controls = 0;  // protocol::Control of what can be limited here; kEveryHierarchy
  bool always = true;     // every container is in it; else only one that is limited here
};

// How it is decided which devices a container may open and make.
enum class DeviceControl : uint8_t {
  kNone,     // not at all: rootless, where the kernel does, or refused by the machine
  kList,     // the list of the v1 hierarchy `devices`
  kProgram,  // a program on the v2 group
};

// What a hand knows for its whole life.
struct Host {
  UniqueFd store;  // the store's folder, attached in the caller's mount namespace
  UniqueFd proc;   // a procfs of the supervisor's pid namespace
  std::vector<Hierarchy> hierarchies;  // empty: no cgroups may be made (rootless, not delegated)
  DeviceControl device_control = DeviceControl::kNone;
  UniqueFd device_program;  // kProgram: the default rules, loaded
  bool rootless = false;
  bool one_group = false;  // the user namespace knows no other one: setgroups(2) is shut
  // The caller and all that it starts are in the machine's pid namespace: nothing but their group
  // holds a container's processes together.
  bool host_pids = false;

  // Where in the caller's mount namespace (which every child starts with a copy of) things are:
  //
  // Rootless only: a folder with the host's null zero full random urandom tty bound over empty
  // files, since a user namespace cannot make nodes. Also needed there, for the kernel refuses new
  // proc and sysfs mounts where no fully visible one is: /proc and /sys with nothing over them.
  std::string devices = "/dev";
  // Any folder: the child covers it, in its own copy, with the tmpfs its small files come from.
  std::string cover = "/proc";
  // Where the child attaches its root. Bundles: the folder it is made of.
  std::string attach_at = "/";
  // An empty folder for the classic mount(2) of overlays with more layers than fsconfig takes on
  // kernels before 6.8. Empty string: such an overlay fails with E2BIG.
  std::string staging;
};

// What becomes of an upper/ after the end of its container.
enum class Upper : uint8_t {
  kKept,       // it is the container's, also after a crash of the host
  kEphemeral,  // nobody reads it: nothing of it need reach the disk
};

// What is prepared for one start. Absent members are made by Launch itself, on the path.
struct Prepared {
  UniqueFd rootfs;  // detached overlay mount
  // A namespace with a mount of `rootfs` and nothing else, made by MakeMountNamespace; taken when
  // the kit is whole.
  UniqueFd mount_namespace;
  Kit kit;
  std::vector<UniqueFd> bind_sources;  // detached mounts, one per bind/overlay item, in plan order
  // Pidfds of the containers whose namespaces are shared; none where that one's is the host's.
  UniqueFd peers[kSharedKinds];
  // The container's folder or scratch slot. Needed when `rootfs` is absent (its upper/ and work/
  // are used) and for overlay mounts with a plain name as scratch; absent: plan.folder is opened.
  UniqueFd folder;
  Upper upper = Upper::kKept;
  bool gated = false;  // the child waits at its gates, see Started::gate
};

struct Started {
  pid_t pid = -1;  // in the caller's pid namespace
  UniqueFd pidfd;
  UniqueFd report;  // read end: a Failure (12 bytes) or end-of-file at exec
  // At each gate the child sends a byte and waits for one: before the pivot when the plan has
  // hooks, and before exec (kAwaitStart). Its end cancels the start. Invalid if it was not gated.
  UniqueFd gate;
  UniqueFd terminal;  // a socket: before exec both ends of the terminal come, if the plan has one
  UniqueFd mount_namespace;  // keeps the teardown of its mounts off the path; drop it in a hand
};

// ---- prepared parts, each usable alone -----------------------------------------------------
// A container's own user namespace.
struct Mapping {
  const UserNamespacePlan& owner;
  int user_namespace;
};
// Detached overlay of `layers` under upper/ and work/ of `upper_parent_fd`; nodev. `label` is
// SELinux's, or null. `mapping`: the layers as the user namespace has them; or null.
[[nodiscard]] Result<UniqueFd> MakeOverlay(const Host& host, const List<const char*>& layers,
                                           int upper_parent_fd, Upper upper, const char* label,
                                           const Mapping* mapping, std::string* kernel_log);
// What `layers` (store-relative, lowest first) show together, to be read: a detached overlay, or
// the one that there is.
[[nodiscard]] Result<UniqueFd> MergeLayers(const Host& host, const std::vector<std::string>& layers,
                                           std::string* kernel_log);
// One more mount of what the detached `mount` shows; invalid before linux 6.15.
[[nodiscard]] UniqueFd CloneDetached(int mount);
// A mount namespace whose only mount is the detached `rootfs`, which is consumed. Who enters it can
// attach what was made before, and clone from detached trees: no use where CloneDetached fails.
[[nodiscard]] Result<UniqueFd> MakeMountNamespace(const Host& host, int rootfs);
// With what every container has and the hierarchies that `controls` need; device rules included,
// `rules` being empty for the default ones. A group that is there is taken.
[[nodiscard]] Result<Cgroup> MakeCgroup(const Host& host, const std::string& name,
                                        uint64_t controls, List<DeviceRule> rules);
// One that was made before.
[[nodiscard]] Result<Cgroup> OpenCgroup(const Host& host, const std::string& name,
                                        uint64_t controls);
// For an exec in the container whose group `parent` was made with `controls`, or these but for
// kEveryHierarchy: a group of its own where it can be killed, the container's everywhere else.
[[nodiscard]] Result<Cgroup> MakeExecCgroup(const Host& host, const std::string& parent,
                                            const std::string& name, uint64_t controls);
// Writes what is asked into a fresh group. Failure{kCgroupLimit, errno, the tag of the limit}.
[[nodiscard]] Result<> LimitCgroup(const Host& host, const LimitsPlan& limits,
                                   const Cgroup& cgroup);
// The same of a group that was given all of it before and has nobody in it.
[[nodiscard]] Result<> LimitCgroupAgain(const Host& host, const LimitsPlan& limits,
                                        const Cgroup& cgroup);
// Holds everybody in the group and below still, or lets them go on. One that cannot be held still
// in time is let go.
enum class Freezing : uint8_t { kFreeze, kThaw };
[[nodiscard]] Result<> SetFrozen(const Host& host, const std::string& name, Freezing wanted);
// v1: whatever stands still in the group or below goes on, and so can die.
void ThawAll(int folder);
// How often somebody in the group or below was killed for want of memory; 0 where nobody counts.
[[nodiscard]] uint64_t OomKills(const Host& host, const std::string& name);
// Becomes ready each time that the number may have risen (v2), or is about to (v1).
struct OomWatch {
  UniqueFd fd;          // invalid: nobody says so
  uint32_t events = 0;  // EPOLL* to wait for
  bool early = false;   // v1: the kill comes after
};
[[nodiscard]] OomWatch WatchOom(const Host& host, const std::string& name);
// Not ready any more. The number is to be read after this.
void ClearOom(const OomWatch& watch);
// Kills what is in it (and below), waits until empty, removes it. Absent is success.
[[nodiscard]] Result<> RemoveCgroup(const Host& host, const std::string& name);
// The same in one hierarchy, whose `folder` and `v2` matter alone.
[[nodiscard]] Result<> RemoveGroup(const Hierarchy& hierarchy, const std::string& name);
// When it returns those who were in it are dead, unless the kernel itself holds one up.
[[nodiscard]] Result<> KillCgroup(const Host& host, const std::string& name);
// Makes upper/ and work/ in `folder_fd` where they are missing.
[[nodiscard]] Result<> MakeScratch(int folder_fd);
// Detached copy of the mount at a host path, by the hand that stayed in the host's namespace.
[[nodiscard]] Result<UniqueFd> OpenBindSource(const MountItem& mount);

// ---- the two ways into a container ---------------------------------------------------------
// `stdio` are three borrowed descriptors (-1: /dev/null of the container). The new process's parent
// is the caller's parent when `parent` is kSupervisor (CLONE_PARENT), else the caller.
enum class Parent { kCaller, kSupervisor };

// The caller's signal dispositions must not change after its first Launch or Join.
[[nodiscard]] Result<Started> Launch(const Host& host, const LaunchPlan& plan, Prepared& prepared,
                                     const Cgroup& cgroup, const int stdio[3], Parent parent,
                                     std::string* kernel_log);

// `init` is a pidfd of the container's pid 1, `namespaces` those of it to enter beside its pid
// namespace: not the host's own, which a user namespace may not enter and we are in. Without
// CLONE_NEWCGROUP among them there is a new one, rooted at `cgroup`. With no cgroup
// the process is put under a subreaper that kills its descendants when asked (kKillTreeSignal to
// the returned pid); so is that of a Launch into another container's pid namespace.
constexpr uint64_t kJoinedNamespaces =
    CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
[[nodiscard]] Result<Started> Join(const Host& host, const ExecPlan& plan, int init_pidfd,
                                   uint64_t namespaces, const Cgroup* cgroup, const int stdio[3],
                                   Parent parent);

}  // namespace caisson::launch
