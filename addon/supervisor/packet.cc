// zone: native
#include "supervisor/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/retry_eintr.h"

namespace caisson {

namespace {
constexpr size_t kControlBytes = CMSG_SPACE(kMaxPacketFds * sizeof(int));
}  // namespace

int SendPacket(int socket, std::span<const iovec> parts, std::span<const int> fds, Wait wait) {
  alignas(cmsghdr) char control[kControlBytes];
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  if (!fds.empty()) {
    if (fds.size() > kMaxPacketFds) return EMSGSIZE;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const int flags = MSG_NOSIGNAL | (wait == Wait::kNever ? MSG_DONTWAIT : 0);
  return RetryEintr([&] { return sendmsg(socket, &message, flags); }) < 0 ? errno : 0;
}

int ReceivePacket(int socket, std::span<uint8_t> buffer, Packet* packet, Wait wait) {
  alignas(cmsghdr) char control[kControlBytes];
  iovec part = {buffer.data(), buffer.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const int flags = MSG_CMSG_CLOEXEC | (wait == Wait::kNever ? MSG_DONTWAIT : 0);
  const ssize_t bytes = RetryEintr([&] { return recvmsg(socket, &message, flags); });
  if (bytes < 0) return errno;
  packet->bytes = static_cast<size_t>(bytes);
  packet->truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      packet->fds.emplace_back(fd);
    }
  }
  return 0;
}

Result<TerminalEnds> ReceiveTerminal(int socket) {
  uint8_t byte = 0;
  Packet packet;
  const int error = ReceivePacket(socket, {&byte, 1}, &packet, Wait::kNever);
  if (error != 0) return Fail(Step::kTerminal, error);
  // Fewer: we have no room for more descriptors.
  if (packet.truncated || packet.fds.size() != 2) return Fail(Step::kTerminal, EMFILE);
  return TerminalEnds{std::move(packet.fds[0]), std::move(packet.fds[1])};
}

}  // namespace caisson
