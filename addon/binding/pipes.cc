// zone: loop
#include "binding/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/retry_eintr.h"

// Both hidden by libc unless the GNU extensions are asked for.
#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ 1031
#endif

namespace caisson::binding {

int MakePipe(Direction direction, int bytes, Pipe* made) noexcept {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  const bool to_child = direction == Direction::kToChild;
  made->local.reset(to_child ? ends[1] : ends[0]);
  made->remote.reset(to_child ? ends[0] : ends[1]);
  if (fcntl(made->local.get(), F_SETFL, O_NONBLOCK) != 0) return errno;
  // EPERM: over the user's limit (pipe(7)); a smaller one, or the default, does as well.
  constexpr int kDefaultBytes = 64 * 1024;
  for (int size = bytes; size > kDefaultBytes; size /= 2) {
    if (fcntl(made->local.get(), F_SETPIPE_SZ, size) >= 0) break;
  }
  return 0;
}

long WritePipe(int fd, const uint8_t* bytes, size_t count) noexcept {
  // Node ignores SIGPIPE, an embedding program may not, and a pipe has no MSG_NOSIGNAL: the signal
  // is blocked in this thread and, if it came, taken off before the mask is restored.
  sigset_t pipe_signal;
  sigset_t before;
  sigset_t pending;
  (void)sigemptyset(&pipe_signal);
  (void)sigaddset(&pipe_signal, SIGPIPE);
  (void)sigemptyset(&pending);
  (void)sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t wrote = RetryEintr([&] { return write(fd, bytes, count); });
  const int error = errno;
  if (wrote < 0 && error == EPIPE && !was_pending) {
    const timespec now = {};
    (void)RetryEintr([&] { return sigtimedwait(&pipe_signal, nullptr, &now); });
  }
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return wrote;
}

int PidOf(int pidfd) noexcept {
  char path[48];
  (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  UniqueFd info(open(path, O_RDONLY | O_CLOEXEC));
  if (!info) return -1;
  char text[512];
  const ssize_t got = RetryEintr([&] { return read(info.get(), text, sizeof text - 1); });
  if (got <= 0) return -1;
  text[got] = '\0';
  const char* const line = strstr(text, "\nPid:\t");
  if (line == nullptr) return -1;
  int pid = 0;
  const char* digit = line + 6;
  if (*digit < '0' || *digit > '9') return -1;  // "-1": reaped
  for (; *digit >= '0' && *digit <= '9'; ++digit) pid = pid * 10 + (*digit - '0');
  return pid;
}

}  // namespace caisson::binding
