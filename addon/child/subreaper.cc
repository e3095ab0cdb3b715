// zone: child
#include "child/subreaper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/credentials.h"
#include "sys/path.h"
#include "sys/process.h"
#include "sys/rlimit.h"

namespace caisson::child {
namespace {

constexpr sys::SignalSet Only(int signal) noexcept {
  return sys::SignalSet{1} << (signal - 1);
}

struct Ending {
  bool known = false;
  int code = 0;  // CLD_EXITED, else a signal
  int status = 0;
};

// Nothing of the start may be left here: the pipes of stdio would never end, and this process lives
// inside the container. CAP_KILL reaches processes of whatever user the exec is.
void LetGo(Context& context) noexcept {
  const auto proc = static_cast<unsigned>(context.proc);
  if (proc > 0) (void)sys::CloseRange(0, proc - 1, 0);
  (void)sys::CloseRange(proc + 1, UINT_MAX, 0);
  constexpr uint64_t kKill = uint64_t{1} << CAP_KILL;
  (void)sys::CapSet(kKill, kKill, 0);
}

// The raw waitid: glibc's is a cancellation point.
int WaitAny(siginfo_t* info, int options) noexcept {
  info->si_pid = 0;
  return static_cast<int>(syscall(SYS_waitid, P_ALL, 0, info, options | WEXITED | __WALL, nullptr));
}

void Note(const siginfo_t& info, pid_t main_pid, Ending& ending) noexcept {
  if (info.si_pid != main_pid) return;
  ending = {.known = true, .code = info.si_code, .status = info.si_status};
}

// SIGKILL to each child, by /proc/thread-self/children (CONFIG_PROC_CHILDREN). Pids of one's own
// children cannot be reused before one has waited for them.
bool KillChildren(int proc) noexcept {
  const int fd = sys::OpenProcFile(proc, "thread-self/children", O_RDONLY);
  if (fd < 0) return false;
  char text[4096];
  pid_t pid = 0;
  for (;;) {
    const ssize_t got = read(fd, text, sizeof text);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else if (pid > 0) {
        (void)kill(pid, SIGKILL);
        pid = 0;
      }
    }
  }
  (void)close(fd);
  return true;
}

// The children of those who die become ours, so this goes on until there is nobody.
void KillDescendants(int proc, pid_t main_pid, Ending& ending) noexcept {
  for (;;) {
    if (!KillChildren(proc)) {
      if (ending.known) return;
      (void)kill(main_pid, SIGKILL);
    }
    siginfo_t info;
    if (WaitAny(&info, 0) != 0) {
      if (errno == EINTR) continue;
      return;  // ECHILD: none is left
    }
    do {
      Note(info, main_pid, ending);
    } while (WaitAny(&info, WNOHANG) == 0 && info.si_pid != 0);
  }
}

[[noreturn]] void EndLike(const Ending& ending) noexcept {
  if (!ending.known) _exit(127);
  if (ending.code == CLD_EXITED) _exit(ending.status);
  (void)sys::SetRlimit(RLIMIT_CORE, 0, 0);  // the core, if any, was the other's
  (void)sys::SetSignalDefault(ending.status);
  (void)kill(sys::GetPid(), ending.status);
  (void)sys::SetSignalMask(0, nullptr);
  _exit(128 + ending.status);
}

}  // namespace

void StayAsSubreaper(Context& context, pid_t main_pid) noexcept {
  LetGo(context);
  const sys::SignalSet awaited = ~sys::SignalSet{0};
  Ending ending;
  for (;;) {
    // All signals are blocked since before the clone, so none is missed.
    const long signal = syscall(SYS_rt_sigtimedwait, &awaited, nullptr, nullptr, sizeof awaited);
    if (signal == kKillTreeSignal) {
      KillDescendants(context.proc, main_pid, ending);
      EndLike(ending);
    }
    // It is our child and we have not waited for it yet, so the pid is still its own.
    if (signal > 0 && signal != SIGCHLD) (void)kill(main_pid, static_cast<int>(signal));
    siginfo_t info;
    while (WaitAny(&info, WNOHANG) == 0 && info.si_pid != 0) Note(info, main_pid, ending);
    if (!ending.known) continue;
    // An exec's orphans are its container's. A container ends as a whole.
    if (context.launch != nullptr) KillDescendants(context.proc, main_pid, ending);
    EndLike(ending);
  }
}

}  // namespace caisson::child
