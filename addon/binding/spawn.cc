// zone: loop
#include "binding/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "base/retry_eintr.h"
#include "binding/thread.h"

// Absent from older headers.
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

namespace caisson::binding {

namespace {

constexpr auto kWaitPidfd = static_cast<idtype_t>(3);  // P_PIDFD, Linux 5.4
constexpr int kChannelFd = 3;
constexpr int kProgramFd = 4;
constexpr int kFirstFree = 5;  // descriptors are first moved from here on: no dup2 hits a source
constexpr size_t kStackBytes = 64 * 1024;
constexpr int kSignals = 64;

// The kernel's own shapes: libc's hide the signals that it keeps for itself.
constexpr size_t kSigsetBytes = 8;
struct KernelAction {
  void* handler;
  unsigned long flags;
  void* restorer;
  uint64_t mask;
};

struct Order {
  const char* path;
  char* const* argv;
  int channel;
  int program;
  int null;
  Stderr keep_stderr;
  int highest;
  int error;  // written by the child, whose memory is ours
};

void CloseFrom(int first, int highest) noexcept {
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U) == 0) return;
  // Remove when Linux 5.9 is the floor.
  for (int fd = first; fd <= highest; ++fd) (void)close(fd);
}

// Runs in the child, in our memory, with every signal blocked: system calls only.
__attribute__((no_sanitize("address", "undefined"))) int RunInChild(void* argument) noexcept {
  Order& order = *static_cast<Order*>(argument);
  // Node marks even the descriptors of stdio close-on-exec.
  const bool keeps_stderr = order.keep_stderr == Stderr::kKept && fcntl(2, F_SETFD, 0) == 0;
  if (dup2(order.null, 0) < 0 || dup2(order.null, 1) < 0 ||
      (!keeps_stderr && dup2(order.null, 2) < 0) || dup2(order.channel, kChannelFd) < 0 ||
      dup2(order.program, kProgramFd) < 0) {
    order.error = errno;
    _exit(127);
  }
  CloseFrom(kFirstFree, order.highest);

  // What is ignored stays ignored over an exec, and a blocked signal stays blocked.
  const KernelAction default_action = {};
  for (int signal = 1; signal <= kSignals; ++signal) {
    (void)syscall(SYS_rt_sigaction, signal, &default_action, nullptr, kSigsetBytes);
  }
  const uint64_t none = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, kSigsetBytes);

  char* const environment[] = {nullptr};
  (void)execve(order.path, order.argv, environment);
  order.error = errno;
  _exit(127);
}

int MoveUp(UniqueFd* fd) noexcept {
  if (fd->get() >= kFirstFree) return 0;
  const int moved = fcntl(fd->get(), F_DUPFD_CLOEXEC, kFirstFree);
  if (moved < 0) return errno;
  fd->reset(moved);
  return 0;
}

}  // namespace

SystemError Spawn(const char* path, char* const* argv, Stderr keep_stderr,
                  Spawned* spawned) noexcept {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return {errno, "socketpair"};
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return {errno, "fcntl"};

  UniqueFd self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  if (!self) return {errno, "pidfd_open"};
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return {errno, "open"};
  for (UniqueFd* fd : {&theirs, &self, &null}) {
    if (const int error = MoveUp(fd); error != 0) return {error, "fcntl"};
  }

  rlimit files{};
  (void)getrlimit(RLIMIT_NOFILE, &files);
  constexpr rlim_t kMost = 65536;
  Order order = {path,
                 argv,
                 theirs.get(),
                 self.get(),
                 null.get(),
                 keep_stderr,
                 static_cast<int>(files.rlim_cur < kMost ? files.rlim_cur : kMost),
                 0};

  // The lowest page stays forbidden: an overflow must not reach other memory of the program.
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t stack_bytes = kStackBytes + page;
  void* const stack =
      mmap(nullptr, stack_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return {errno, "mmap"};
  char* const bottom = static_cast<char*>(stack);
  if (mprotect(bottom + page, kStackBytes, PROT_READ | PROT_WRITE) != 0) {
    const int error = errno;
    (void)munmap(stack, stack_bytes);
    return {error, "mprotect"};
  }

  // No handler of the program's may run in the child.
  const uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, kSigsetBytes);
  int pidfd = -1;
  const int pid = clone(RunInChild, bottom + stack_bytes,
                        CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &order, &pidfd);
  const int clone_error = errno;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, kSigsetBytes);
  (void)munmap(stack, stack_bytes);
  if (pid < 0) return {clone_error, "clone"};

  spawned->pid = pid;
  spawned->pidfd.reset(pidfd);
  if (order.error != 0) {
    siginfo_t info{};
    (void)RetryEintr([&] { return waitid(kWaitPidfd, static_cast<id_t>(pidfd), &info, WEXITED); });
    return {order.error, "execve"};
  }
  spawned->channel = std::move(ours);
  return {};
}

ExitStatus Reap(int pidfd) noexcept {
  using Kind = ExitStatus::Kind;
  siginfo_t info{};
  const int result = RetryEintr(
      [&] { return waitid(kWaitPidfd, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG); });
  // ECHILD: the embedding program waits for any child, or ignores SIGCHLD.
  if (result != 0) return {Kind::kUnknown, 0};
  if (info.si_pid == 0) return {Kind::kRunning, 0};
  return {info.si_code == CLD_EXITED ? Kind::kExited : Kind::kSignaled, info.si_status};
}

void ReapInBackground(UniqueFd pidfd) noexcept {
  if (Reap(pidfd.get()).kind != ExitStatus::Kind::kRunning) return;
  const intptr_t fd = pidfd.release();
  const int error = StartThread(
      [](void* argument) {
        const auto waited = static_cast<int>(reinterpret_cast<intptr_t>(argument));
        siginfo_t info{};
        (void)RetryEintr(
            [&] { return waitid(kWaitPidfd, static_cast<id_t>(waited), &info, WEXITED); });
        (void)close(waited);
      },
      reinterpret_cast<void*>(fd));
  if (error != 0) (void)close(static_cast<int>(fd));
}

}  // namespace caisson::binding
