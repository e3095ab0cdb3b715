// zone: native
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "sys/path.h"
#include "sys/process.h"

// What the supervisor needs of the kernel beyond addon/sys/. -1 with errno, as a wrapper would.
namespace caisson::kernel {

// What a path inside the store may do: nothing but go down.
constexpr uint64_t kBeneath =
    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

// waitid(P_PIDFD) with the fifth argument that the C library hides: the rusage of the process and
// of what it has waited for. si_pid is 0 when WNOHANG found nothing.
inline int WaitPidfd(int pidfd, siginfo_t* info, int options, rusage* usage) noexcept {
  constexpr int kPidfd = 3;
  memset(info, 0, sizeof *info);
  return RetryEintr(
      [&] { return static_cast<int>(syscall(SYS_waitid, kPidfd, pidfd, info, options, usage)); });
}

// fork(2) with flags and a pidfd. clone(2), not clone3: nothing here needs more, and outer seccomp
// filters often answer clone3 with ENOSYS. The child runs on a copy of this stack.
inline pid_t Fork(uint64_t flags, UniqueFd* pidfd) noexcept {
  int fd = -1;
  const uint64_t all = flags | static_cast<uint64_t>(CLONE_PIDFD) | SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, all, nullptr, &fd, nullptr, nullptr));
  if (pid > 0) pidfd->reset(fd);
  return pid;
}

}  // namespace caisson::kernel
