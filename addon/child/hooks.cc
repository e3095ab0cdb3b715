// zone: child
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/child.h"
#include "child/number.h"
#include "child/steps.h"
#include "sys/process.h"

namespace caisson::child {
namespace {

using protocol::HookPoint;

// Tells that we are here, and waits until we may go on.
int WaitAtGate(const Context& context) noexcept {
  if (context.gate < 0) return 0;
  char byte = 0;
  if (write(context.gate, &byte, 1) != 1) return errno == EPIPE ? ECANCELED : errno;
  const ssize_t got = read(context.gate, &byte, 1);
  if (got == 1) return 0;
  return got == 0 ? ECANCELED : errno;
}

// A pipe that holds the state of the runtime-spec, all of it before anybody reads: a hook need not.
int MakeStdin(const char* status, pid_t pid, const char* more_state, int* stdin_end) noexcept {
  int ends[2];
  if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return errno;
  int error = fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
  char digits[12];
  WriteNumber(digits, static_cast<uint32_t>(pid));
  const char* const parts[] = {
      "{\"status\":\"", status, "\",\"pid\":", digits, more_state[0] == '\0' ? "" : ",",
      more_state,       "}"};
  for (const char* part : parts) {
    const size_t size = strlen(part);
    if (error != 0 || size == 0) continue;
    const ssize_t written = write(ends[1], part, size);
    if (written < 0) {
      error = errno;
    } else if (static_cast<size_t>(written) != size) {
      error = EMSGSIZE;
    }
  }
  (void)close(ends[1]);
  if (error != 0) {
    (void)close(ends[0]);
    return error;
  }
  *stdin_end = ends[0];
  return 0;
}

[[noreturn]] void Become(const HookItem& hook, int stdin_end) noexcept {
  if (stdin_end == STDIN_FILENO) {
    (void)fcntl(stdin_end, F_SETFD, 0);
  } else if (dup3(stdin_end, STDIN_FILENO, 0) < 0) {
    _exit(127);
  }
  for (int signal = 1; signal <= 64; ++signal) (void)sys::SetSignalDefault(signal);
  (void)sys::SetSignalMask(0, nullptr);
  // Everything of ours is close-on-exec.
  (void)execve(hook.path, const_cast<char* const*>(hook.argv), const_cast<char* const*>(hook.envp));
  _exit(127);
}

constexpr int kPidfd = 3;  // P_PIDFD

int AwaitEnd(int pidfd, uint64_t timeout_ms) noexcept {
  struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN, .revents = 0};
  const int ended = poll(&poll_fd, 1, timeout_ms == 0 ? -1 : static_cast<int>(timeout_ms));
  if (ended == 0) (void)sys::PidfdSendSignal(pidfd, SIGKILL);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  if (syscall(SYS_waitid, kPidfd, pidfd, &info, WEXITED, nullptr) != 0) return errno;
  if (ended == 0) return ETIMEDOUT;
  return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : ECHILD;
}

int RunHooks(Context& context, HookPoint point, const char* status) noexcept {
  const BundlePlan& bundle = context.launch->bundle;
  for (uint32_t i = 0; i < bundle.hooks.count; ++i) {
    const HookItem& hook = bundle.hooks.items[i];
    if (hook.point != point) continue;
    context.index = i;
    // The spec: the pid as the container sees it.
    const int error = RunHook(hook, status, sys::GetPid(), bundle.hook_state);
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace

int RunHook(const HookItem& hook, const char* status, pid_t pid, const char* more_state) noexcept {
  int stdin_end = -1;
  if (const int error = MakeStdin(status, pid, more_state, &stdin_end); error != 0) return error;
  int pidfd = -1;
  sys::CloneArgs args = {};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const pid_t child = sys::Clone3(args);
  if (child == 0) Become(hook, stdin_end);
  int error = child < 0 ? errno : 0;
  (void)close(stdin_end);
  if (error != 0) return error;
  error = AwaitEnd(pidfd, hook.timeout_ms);
  (void)close(pidfd);
  return error;
}

int AwaitHooks(Context& context) noexcept {
  return context.launch->bundle.hooks.count == 0 ? 0 : WaitAtGate(context);
}

int RunCreateHooks(Context& context) noexcept {
  return RunHooks(context, HookPoint::kCreateContainer, "creating");
}

int AwaitStart(Context& context) noexcept {
  return WaitAtGate(context);
}

int RunStartHooks(Context& context) noexcept {
  return RunHooks(context, HookPoint::kStartContainer, "created");
}

}  // namespace caisson::child
