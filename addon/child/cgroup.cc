// zone: child
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/steps.h"
#include "sys/process.h"

namespace caisson::child {

// "0" is the writer itself: writing another's pid can meet it half-born and give EINVAL.
int JoinCgroup(Context& context) noexcept {
  for (uint32_t i = 0; i < context.cgroup_procs.count; ++i) {
    context.index = i;
    if (write(context.cgroup_procs.items[i], "0", 1) != 1) return errno;
  }
  return 0;
}

// Not a flag of the clone: that would root it at the parent's cgroup, siblings in sight
// (copy_cgroup_ns() uses `current`).
int EnterCgroupNamespace(Context& context) noexcept {
  if (!context.cgroup_namespace || !CAISSON_GUARD(kCgroupNamespace)) return 0;
  return sys::Unshare(CLONE_NEWCGROUP) == 0 ? 0 : errno;
}

}  // namespace caisson::child
