// zone: native (usable in the child zone)
#pragma once

#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

// clone3, pidfds, namespaces, signals: raw, for glibc's versions keep caches or take locks.
namespace caisson::sys {

constexpr uint64_t kCloneIntoCgroup = 0x200000000;  // CLONE_INTO_CGROUP, linux 5.7

struct CloneArgs {
  uint64_t flags;
  uint64_t pidfd;
  uint64_t child_tid;
  uint64_t parent_tid;
  uint64_t exit_signal;
  uint64_t stack;
  uint64_t stack_size;
  uint64_t tls;
  uint64_t set_tid;
  uint64_t set_tid_size;
  uint64_t cgroup;
};
static_assert(sizeof(CloneArgs) == 88);

inline pid_t Clone3(const CloneArgs& args) noexcept {
  return static_cast<pid_t>(syscall(435, &args, sizeof args));
}

inline int PidfdOpen(pid_t pid) noexcept {
  return static_cast<int>(syscall(434, pid, 0));
}
inline int PidfdSendSignal(int pidfd, int signal) noexcept {
  return static_cast<int>(syscall(424, pidfd, signal, nullptr, 0));
}
// The raw getpid: a clone made without glibc's knowledge must not be told its parent's.
inline pid_t GetPid() noexcept {
  return static_cast<pid_t>(syscall(SYS_getpid));
}

// Namespaces of a process by its pidfd (linux 6.11): _IO(0xFF, n) of <linux/pidfd.h>.
constexpr unsigned long kPidfdGetMountNamespace = 0xFF03;

inline int SetNs(int fd, int type) noexcept {
  return static_cast<int>(syscall(SYS_setns, fd, type));
}
inline int Unshare(unsigned long flags) noexcept {
  return static_cast<int>(syscall(SYS_unshare, flags));
}

inline int CloseRange(unsigned first, unsigned last, unsigned flags) noexcept {
  return static_cast<int>(syscall(436, first, last, flags));
}

// The kernel's own signal set and action, so that the two signals glibc keeps are covered.
using SignalSet = uint64_t;
constexpr SignalSet kAllSignals = ~SignalSet{0};

inline int SetSignalMask(SignalSet set, SignalSet* old) noexcept {
  return static_cast<int>(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, old, sizeof set));
}
// An action all of whose words are zero is SIG_DFL on every architecture.
struct SignalAction {
  uint64_t words[4] = {};
};
inline int SetSignalDefault(int signal) noexcept {
  const SignalAction action;
  return static_cast<int>(syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof(SignalSet)));
}
// The signals whose disposition is another than SIG_DFL: ignored ones and those with a handler.
inline SignalSet ChangedSignals() noexcept {
  SignalSet changed = 0;
  for (int signal = 1; signal <= 64; ++signal) {
    SignalAction action;
    const long got = syscall(SYS_rt_sigaction, signal, nullptr, &action, sizeof(SignalSet));
    // The first word is the handler everywhere but on MIPS, whose first word are the flags.
    if (got == 0 && action.words[0] != 0) changed |= SignalSet{1} << (signal - 1);
  }
  return changed;
}

}  // namespace caisson::sys
