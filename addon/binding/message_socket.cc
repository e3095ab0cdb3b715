// zone: loop
#include "binding/message_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "base/retry_eintr.h"

// Absent from headers older than Linux 6.3.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace caisson::binding {

using protocol::Header;

Descriptors::Descriptors(Descriptors&& other) noexcept : size_(other.size_) {
  memcpy(fds_, other.fds_, sizeof fds_);
  memcpy(owned_, other.owned_, sizeof owned_);
  other.size_ = 0;
}

Descriptors::~Descriptors() {
  for (size_t i = 0; i < size_; ++i) {
    if (owned_[i]) (void)close(fds_[i]);
  }
}

bool Descriptors::Lend(int fd) noexcept {
  if (size_ == kCapacity) return false;
  fds_[size_] = fd;
  owned_[size_++] = false;
  return true;
}

bool Descriptors::Own(UniqueFd fd) noexcept {
  if (!Lend(fd.get())) return false;
  (void)fd.release();
  owned_[size_ - 1] = true;
  return true;
}

bool Descriptors::OwnFirst(UniqueFd fd) noexcept {
  if (size_ == kCapacity) return false;
  memmove(fds_ + 1, fds_, size_ * sizeof fds_[0]);
  memmove(owned_ + 1, owned_, size_ * sizeof owned_[0]);
  fds_[0] = fd.release();
  owned_[0] = true;
  ++size_;
  return true;
}

bool Descriptors::Adopt(int fd) noexcept {
  for (size_t i = 0; i < size_; ++i) {
    if (fds_[i] != fd || owned_[i]) continue;
    owned_[i] = true;
    return true;
  }
  return false;
}

int Descriptors::Keep() noexcept {
  for (size_t i = 0; i < size_; ++i) {
    if (owned_[i]) continue;
    const int copy = fcntl(fds_[i], F_DUPFD_CLOEXEC, 3);
    if (copy < 0) return errno;
    fds_[i] = copy;
    owned_[i] = true;
  }
  return 0;
}

UniqueFd Descriptors::TakeFirst() noexcept {
  UniqueFd first(fds_[0]);
  --size_;
  memmove(fds_, fds_ + 1, size_ * sizeof fds_[0]);
  memmove(owned_, owned_ + 1, size_ * sizeof owned_[0]);
  return first;
}

struct MessageSocket::Waiting {
  Waiting* next = nullptr;
  Header header{};
  Descriptors fds;
  uint8_t* body = nullptr;

  explicit Waiting(Descriptors&& with) noexcept : fds(std::move(with)) {}
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { free(body); }
};

void MessageSocket::Close() noexcept {
  socket_.reset();
  while (first_ != nullptr) {
    Waiting* const gone = first_;
    first_ = gone->next;
    delete gone;
  }
  end_ = &first_;
}

namespace {

// A sealed copy of `body`: the supervisor maps it, and we cannot change it under its hands.
int SealedBody(Bytes body, UniqueFd* memfd) noexcept {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  constexpr const char* kName = "caisson-body";
  // vm.memfd_noexec=2 refuses a memfd that does not say noexec; before 6.3 saying it is EINVAL.
  long fd = syscall(SYS_memfd_create, kName, kFlags | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = syscall(SYS_memfd_create, kName, kFlags);
  if (fd < 0) return errno;
  memfd->reset(static_cast<int>(fd));
  size_t done = 0;
  while (done < body.size()) {
    const ssize_t wrote =
        RetryEintr([&] { return write(memfd->get(), body.data() + done, body.size() - done); });
    if (wrote < 0) return errno;
    done += static_cast<size_t>(wrote);
  }
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  return fcntl(memfd->get(), F_ADD_SEALS, kSeals) == 0 ? 0 : errno;
}

bool MustWait(int error) noexcept {
  // ETOOMANYREFS: too many descriptors of this user are in flight; they go as the peer reads.
  return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS;
}

}  // namespace

int MessageSocket::SendNow(const Header& header, Bytes body, const Descriptors& fds) noexcept {
  iovec parts[2] = {
      {const_cast<Header*>(&header), sizeof header},
      {const_cast<uint8_t*>(body.data()), body.size()},
  };
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * Descriptors::kCapacity)] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = body.empty() ? 1 : 2;
  if (fds.size() > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  const ssize_t sent =
      RetryEintr([&] { return sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
  return sent < 0 ? errno : 0;
}

int MessageSocket::Send(Header header, Bytes body, Descriptors fds) noexcept {
  if (!open()) return 0;
  header.body_bytes = static_cast<uint32_t>(body.size());
  header.fd_count = static_cast<uint16_t>(fds.size());
  if (body.size() > protocol::kMaxInlineBody) {
    UniqueFd memfd;
    if (const int error = SealedBody(body, &memfd); error != 0) return error;
    if (!fds.OwnFirst(std::move(memfd))) return EMFILE;
    header.flags |= protocol::kBodyInMemfd;
    body = {};
  }
  if (!waiting()) {
    const int error = SendNow(header, body, fds);
    if (error == 0 || error == EPIPE || error == ECONNRESET) return 0;
    if (!MustWait(error)) return error;
  }

  if (const int error = fds.Keep(); error != 0) return error;
  auto* const message = new (std::nothrow) Waiting(std::move(fds));
  if (message == nullptr) return ENOMEM;
  message->header = header;
  if (!body.empty()) {
    message->body = static_cast<uint8_t*>(malloc(body.size()));
    if (message->body == nullptr) {
      delete message;
      return ENOMEM;
    }
    memcpy(message->body, body.data(), body.size());
  }
  *end_ = message;
  end_ = &message->next;
  return 0;
}

void MessageSocket::Flush() noexcept {
  while (first_ != nullptr) {
    Waiting* const message = first_;
    const bool is_inline = (message->header.flags & protocol::kBodyInMemfd) == 0;
    const Bytes body(message->body, is_inline ? message->header.body_bytes : 0);
    // An error that is no reason to wait means that the peer is gone, which reading will tell.
    if (MustWait(SendNow(message->header, body, message->fds))) return;
    first_ = message->next;
    if (first_ == nullptr) end_ = &first_;
    delete message;
  }
}

Receipt MessageSocket::Receive(uint8_t* scratch, Incoming* message) noexcept {
  iovec part = {scratch, sizeof(Header) + protocol::kMaxInlineBody};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * Descriptors::kCapacity)];
  msghdr raw{};
  raw.msg_iov = &part;
  raw.msg_iovlen = 1;
  raw.msg_control = control;
  raw.msg_controllen = sizeof control;
  const auto receive = [&] {
    return RetryEintr(
        [&] { return recvmsg(socket_.get(), &raw, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  };
  ssize_t got = receive();
  // A peer that ended before it had read all of ours: said once, before what it sent last.
  if (got < 0 && errno == ECONNRESET) got = receive();
  if (got < 0) return errno == EAGAIN ? Receipt::kNothing : Receipt::kEnd;
  if (got == 0) return Receipt::kEnd;

  // Owned before anything is judged: a malformed message must not leak its descriptors. The kernel
  // gives all of a message's in one control message.
  const cmsghdr* const rights = CMSG_FIRSTHDR(&raw);
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
    const size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof fd);
      (void)message->fds.Own(UniqueFd(fd));
    }
  }
  Header header{};
  if (static_cast<size_t>(got) < sizeof header) return Receipt::kMalformed;
  memcpy(&header, scratch, sizeof header);
  if ((raw.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Receipt::kMalformed;
  if (header.body_bytes > protocol::kMaxBody) return Receipt::kMalformed;

  const size_t inline_bytes = static_cast<size_t>(got) - sizeof header;
  const size_t expected_fds = header.fd_count;
  if ((header.flags & protocol::kBodyInMemfd) != 0) {
    if (inline_bytes != 0 || message->fds.size() != expected_fds + 1) return Receipt::kMalformed;
    message->memfd_bytes = header.body_bytes;
    message->memfd = message->fds.TakeFirst();
  } else {
    if (inline_bytes != header.body_bytes) return Receipt::kMalformed;
    if (message->fds.size() != expected_fds) return Receipt::kMalformed;
    message->body = Bytes(scratch + sizeof header, inline_bytes);
  }
  message->type = header.type;
  message->id = header.id;
  return Receipt::kMessage;
}

bool ReadBody(int memfd, uint8_t* to, uint32_t bytes) noexcept {
  uint32_t done = 0;
  while (done < bytes) {
    const ssize_t got = RetryEintr([&] { return pread(memfd, to + done, bytes - done, done); });
    if (got <= 0) return false;
    done += static_cast<uint32_t>(got);
  }
  return true;
}

}  // namespace caisson::binding
