// zone: native
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

// One SOCK_SEQPACKET message with descriptors (unix(7): at most 253 each).
constexpr size_t kMaxPacketFds = 253;

enum class Wait { kBlock, kNever };

// 0, or errno (EAGAIN: the socket is full and Wait::kNever).
[[nodiscard]] int SendPacket(int socket, std::span<const iovec> parts, std::span<const int> fds,
                             Wait wait);

struct Packet {
  size_t bytes = 0;        // 0: the end
  bool truncated = false;  // larger than the buffer, or descriptors were lost
  std::vector<UniqueFd> fds;
};

// 0, or errno. Every descriptor that comes is owned by `packet`, close-on-exec.
[[nodiscard]] int ReceivePacket(int socket, std::span<uint8_t> buffer, Packet* packet, Wait wait);

// Both ends of a terminal, as the child of a launch sends them before its exec.
struct TerminalEnds {
  UniqueFd master;
  UniqueFd slave;
};
[[nodiscard]] Result<TerminalEnds> ReceiveTerminal(int socket);

}  // namespace caisson
