// zone: native (usable in the child zone)
#pragma once

#include <errno.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace caisson::sys {

// Sets `lo` of the caller's network namespace up. Returns 0 or errno.
inline int RaiseLoopback() noexcept {
  // Any family serves SIOCSIFFLAGS; a unix socket is there without IPv4, too.
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  struct ifreq request = {};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int error = ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : errno;
  (void)close(fd);
  return error;
}

}  // namespace caisson::sys
