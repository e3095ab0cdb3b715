// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/steps.h"
#include "child/subreaper.h"
#include "sys/credentials.h"
#include "sys/process.h"

namespace caisson::child {

int PrepareSubreaper(Context& context) noexcept {
  return OpenProc(context);
}

int JoinNamespaces(Context& context) noexcept {
  const bool user = (context.join_namespaces & CLONE_NEWUSER) != 0;
  if (user) {
    // Inside, it is a process without rights over itself.
    if (const int error = SetOomScore(context); error != 0) return error;
    context.oom_score_set = true;
  }
  if (sys::SetNs(context.init_pidfd, static_cast<int>(context.join_namespaces)) != 0) {
    if (errno == ESRCH) context.step = Step::kNotRunning;
    return errno;
  }
  if (user) {
    if (const int error = BecomeRoot(); error != 0) return error;
  }
  // The mount namespace's root is ours now.
  context.rootfs = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return context.rootfs >= 0 ? 0 : errno;
}

// Without a cgroup, what an exec has started is known only by descent: this process stays as the
// ancestor whom every orphan below comes back to, and the new one goes on.
int SplitFromSubreaper(Context& context) noexcept {
  if (!context.subreaper) return 0;
  if (sys::Prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return errno;
  sys::CloneArgs args = {};
  args.exit_signal = SIGCHLD;
  const pid_t pid = sys::Clone3(args);
  if (pid < 0) return errno;
  if (pid > 0) StayAsSubreaper(context, pid);
  // If the subreaper is killed, nobody could end this tree any more.
  context.die_with_parent = true;
  return 0;
}

}  // namespace caisson::child
