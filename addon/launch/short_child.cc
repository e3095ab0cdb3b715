// zone: native
#include "launch/short_child.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/retry_eintr.h"

namespace caisson::launch {
namespace {

struct Work {
  void (*work)(void*);
  void* argument;
};

int Run(void* given) noexcept {
  const auto* work = static_cast<const Work*>(given);
  work->work(work->argument);
  return 0;
}

}  // namespace

Result<> RunInShortChild(int flags, Step step, void (*work)(void*), void* argument) {
  constexpr size_t kStack = 64 * 1024;
  alignas(
      16) static char stack[kStack];  // hands are single-threaded, and CLONE_VFORK makes us wait
  Work given = {work, argument};
  const pid_t pid =
      clone(Run, stack + kStack, flags | CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, &given);
  if (pid < 0) return FailErrno(step);
  (void)RetryEintr([pid] { return waitpid(pid, nullptr, __WALL); });
  return {};
}

}  // namespace caisson::launch
