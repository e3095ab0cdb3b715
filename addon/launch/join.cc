// zone: native
#include <errno.h>
#include <sched.h>

#include <optional>

#include "child/child.h"
#include "launch/children_in.h"
#include "launch/clone.h"
#include "launch/user_namespace.h"

namespace caisson::launch {

Result<Started> Join(const Host& host, const ExecPlan& plan, int init_pidfd, uint64_t namespaces,
                     const Cgroup* cgroup, const int stdio[3], Parent parent) {
  const bool has_cgroup = cgroup != nullptr && !cgroup->folders.empty();
  CgroupEntry entry;
  if (has_cgroup) {
    auto opened = OpenCgroupEntry(host, *cgroup);
    if (!opened) return std::unexpected(opened.error());
    entry = std::move(*opened);
  }

  child::Context context;
  context.process = &plan.process;
  for (int i = 0; i < 3; ++i) context.stdio[i] = stdio[i];
  context.init_pidfd = init_pidfd;
  context.join_namespaces = namespaces;
  if (plan.time_namespace) context.join_namespaces |= CLONE_NEWTIME;
  if (plan.user_namespace) {
    context.join_namespaces |= CLONE_NEWUSER;
    GivePipes(stdio, plan.owner_uid, plan.owner_gid);
  }
  context.cgroup_namespace = has_cgroup && (namespaces & CLONE_NEWCGROUP) == 0;
  context.subreaper = !has_cgroup;

  std::optional<ChildrenIn> inside;
  if (!host.host_pids) {
    inside.emplace(init_pidfd);
    if (inside->error() == ESRCH) return Fail(Step::kNotRunning, ESRCH);
    if (inside->error() != 0) return Fail(Step::kJoinNamespaces, inside->error());
  }
  auto started = CloneChild(host, 0, entry, parent, false, context, child::RunJoin);
  // A pid namespace whose process 1 has died takes nobody in: pid_namespaces(7).
  if (!started && started.error().step == Step::kClone && started.error().error == ENOMEM) {
    return Fail(Step::kNotRunning, ESRCH);
  }
  return started;
}

}  // namespace caisson::launch
