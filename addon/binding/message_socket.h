// zone: loop
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/fields.h"
#include "base/unique_fd.h"
#include "plan/protocol.h"

namespace caisson::binding {

// Descriptors that travel with a message: lent by the caller, or the message's own and closed with
// it.
class Descriptors {
 public:
  // The protocol's bound and the memfd of a big body.
  static constexpr size_t kCapacity = protocol::kMaxFds + 1;

  Descriptors() noexcept = default;
  Descriptors(Descriptors&& other) noexcept;
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors();

  // False when full; an owned descriptor is then closed.
  [[nodiscard]] bool Lend(int fd) noexcept;
  [[nodiscard]] bool Own(UniqueFd fd) noexcept;
  [[nodiscard]] bool OwnFirst(UniqueFd fd) noexcept;
  // Makes a descriptor that was lent the message's own; false when it is not among them.
  [[nodiscard]] bool Adopt(int fd) noexcept;
  // Duplicates what is lent, so that the lender may close. 0 or an errno.
  [[nodiscard]] int Keep() noexcept;

  [[nodiscard]] const int* data() const noexcept { return fds_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] UniqueFd TakeFirst() noexcept;

 private:
  int fds_[kCapacity] = {};
  bool owned_[kCapacity] = {};
  size_t size_ = 0;
};

// A message as it came. The body is a view of the reader's scratch memory, or lies in `memfd`.
struct Incoming {
  uint16_t type = 0;
  uint32_t id = 0;
  Bytes body;
  UniqueFd memfd;
  uint32_t memfd_bytes = 0;
  Descriptors fds;
};

enum class Receipt { kMessage, kNothing, kEnd, kMalformed };

// The program's end of the channel: whole messages with descriptors, never blocking. What does not
// fit the socket waits here, in order.
class MessageSocket {
 public:
  MessageSocket() noexcept = default;
  MessageSocket(const MessageSocket&) = delete;
  MessageSocket& operator=(const MessageSocket&) = delete;
  ~MessageSocket() { Close(); }

  void Open(UniqueFd socket) noexcept { socket_ = static_cast<UniqueFd&&>(socket); }
  void Close() noexcept;
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] bool open() const noexcept { return socket_.valid(); }

  // 0 when sent or queued, else an errno. A peer that is gone is no error: its end is read.
  [[nodiscard]] int Send(protocol::Header header, Bytes body, Descriptors fds) noexcept;
  // Sends what waits, as far as it fits.
  void Flush() noexcept;
  [[nodiscard]] bool waiting() const noexcept { return first_ != nullptr; }

  // `scratch` must hold a header and kMaxInlineBody.
  [[nodiscard]] Receipt Receive(uint8_t* scratch, Incoming* message) noexcept;

 private:
  struct Waiting;

  [[nodiscard]] int SendNow(const protocol::Header& header, Bytes body,
                            const Descriptors& fds) noexcept;

  UniqueFd socket_;
  Waiting* first_ = nullptr;
  Waiting** end_ = &first_;
};

// Reads the whole body of a message out of its memfd. False when it is shorter than said.
[[nodiscard]] bool ReadBody(int memfd, uint8_t* to, uint32_t bytes) noexcept;

}  // namespace caisson::binding
