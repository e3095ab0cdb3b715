// zone: native
#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "launch/launch.h"
#include "sys/loopback.h"

namespace caisson::launch {
namespace {

struct Made {
  int fd = -1;
  int error = 0;
};

// Runs in a child that shares memory and descriptors with us, in the new namespace.
int InNewNamespace(void* argument) noexcept {
  auto* made = static_cast<Made*>(argument);
  made->error = sys::RaiseLoopback();
  if (made->error != 0) return 0;
  const int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) {
    made->error = errno;
    return 0;
  }
  // The namespace of a socket, as a descriptor (linux 4.9): needs no procfs.
  made->fd = ioctl(socket_fd, SIOCGSKNS);
  if (made->fd < 0) made->error = errno;
  (void)close(socket_fd);
  return 0;
}

}  // namespace

// By a short-lived child: an unshare(2) of our own could not be undone by a rootless caller, who
// has no rights in the host's network namespace to come back with.
Result<UniqueFd> MakeNetNamespace() {
  constexpr size_t kStack = 64 * 1024;
  alignas(
      16) static char stack[kStack];  // hands are single-threaded, and CLONE_VFORK makes us wait
  Made made;
  const pid_t pid = clone(InNewNamespace, stack + kStack,
                          CLONE_NEWNET | CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD, &made);
  if (pid < 0) return FailErrno(Step::kNetNamespace);
  (void)RetryEintr([pid] { return waitpid(pid, nullptr, __WALL); });
  UniqueFd fd(made.fd);
  if (made.error != 0) return Fail(Step::kNetNamespace, made.error);
  return fd;
}

}  // namespace caisson::launch
