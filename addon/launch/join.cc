// zone: native
#include <errno.h>
#include <sched.h>

#include "child/child.h"
#include "launch/clone.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

// Children of the hand are born in the container's pid namespace while this lives. The hand itself
// never is in there.
class ChildrenIn {
 public:
  explicit ChildrenIn(int init_pidfd) noexcept : self_(sys::PidfdOpen(sys::GetPid())) {
    if (!self_ || sys::SetNs(init_pidfd, CLONE_NEWPID) != 0) {
      error_ = errno;
    }
  }
  ChildrenIn(const ChildrenIn&) = delete;
  ChildrenIn& operator=(const ChildrenIn&) = delete;
  ~ChildrenIn() {
    // Cannot fail: one may always go back to one's own. If it did, the next clone would be born
    // among strangers, so there must not be one.
    if (error_ == 0 && sys::SetNs(self_.get(), CLONE_NEWPID) != 0) _exit(1);
  }
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  UniqueFd self_;
  int error_ = 0;
};

}  // namespace

Result<Started> Join(const Host& host, const ExecPlan& plan, int init_pidfd, const Cgroup* cgroup,
                     const int stdio[3], Parent parent) {
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
  context.join_namespaces =
      CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  context.subreaper = !has_cgroup;

  const ChildrenIn inside(init_pidfd);
  if (inside.error() == ESRCH) return Fail(Step::kNotRunning, ESRCH);
  if (inside.error() != 0) return Fail(Step::kJoinNamespaces, inside.error());
  auto started = CloneChild(host, 0, entry, parent, false, context, child::RunJoin);
  // A pid namespace whose process 1 has died takes nobody in: pid_namespaces(7).
  if (!started && started.error().step == Step::kClone && started.error().error == ENOMEM) {
    return Fail(Step::kNotRunning, ESRCH);
  }
  return started;
}

}  // namespace caisson::launch
