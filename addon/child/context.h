// zone: child
#pragma once

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/failure.h"
#include "child/user.h"
#include "plan/launch_plan.h"

namespace caisson::child {

// What the parent prepared for one child, and what the child works out on its way. The child owns a
// copy of the whole address space, so it may write here; the descriptors are its own, too, and all
// close-on-exec.
struct Context {
  // Given by launch/.
  const LaunchPlan* launch = nullptr;  // null when joining
  const ProcessPlan* process = nullptr;
  int report = -1;  // write end; EOF for the reader once execve has succeeded
  int gate = -1;    // one end of a socket pair; -1: not gated
  // The parent's ends of these, which the clone has copied: while they are open here, the parent's
  // death does not show.
  int parents_ends[4] = {-1, -1, -1, -1};
  int terminal = -1;  // a socket, to send both ends of a new terminal to; -1: there is none
  int stdio[3] = {-1, -1, -1};  // -1: /dev/null of the container
  List<int> cgroup_procs;       // to write "0" to
  // Namespaces to enter, or pidfds of the containers that have them; -1: those of the clone.
  int net = -1;
  int ipc = -1;
  int uts = -1;
  // Where an errno, or 0, comes when the ids of the new user namespace are mapped; -1: there is
  // none. Then `sysfs` is one that must be in sight for the container's to be made.
  int id_map = -1;
  // To enter, with the rootfs and nothing else; -1: that of the clone.
  int mount_namespace = -1;
  int init = -1;     // the executable of process 1; -1: the command itself
  int rootfs = -1;   // detached mount; after the entering, that root
  int devices = -1;  // detached mount made by launch::MakeDevices
  int sysfs = -1;    // detached mounts of a launch::Kit; -1: made here
  int mqueue = -1;
  int pts = -1;
  int shm = -1;
  const int* mounts = nullptr;  // one per plan mount: detached mount, or -1 where made here
  const char* device_folder = nullptr;
  bool host_nodes = false;  // rootless: they are bound in `devices` already
  const char* cover = nullptr;
  const char* attach_at = "/";
  List<const char*> cgroup1_names;  // v1 hierarchies for a kCgroup mount
  bool cgroup2 = true;              // there is a v2 hierarchy for a kCgroup mount
  uint64_t changed_signals = 0;     // whose disposition is not the default
  uint64_t known_capabilities = 0;  // of this kernel
  bool raise_loopback = false;      // the network namespace was made by this clone
  bool rootless = false;
  bool one_group = false;  // of the user namespace: setgroups(2) is shut
  bool die_with_parent = false;
  int init_pidfd = -1;            // join: the container's pid 1
  uint64_t join_namespaces = 0;   // join: CLONE_NEW* to enter by init_pidfd
  bool cgroup_namespace = false;  // a new one, once it is in its group
  bool subreaper = false;         // stay as the parent of what is executed

  // Worked out by the child.
  int proc = -1;        // a procfs of our own pid namespace, never found by a path of the image's
  int ready_proc = -1;  // attached nowhere yet
  Step step = Step::kNone;  // a step may say more precisely what failed
  uint32_t index = 0;       // which item of the plan
  bool oom_score_set = false;
  bool workdir_pending = false;
  UserIds ids;
  char home_variable[PATH_MAX + 8] = {};  // "HOME=…", where envp's free slot points
};

using StepFunction = int (*)(Context&) noexcept;

struct ChildStep {
  Step step;
  StepFunction run;  // 0 or errno
};

}  // namespace caisson::child
