// zone: native
#include "supervisor/channel.h"

#include <errno.h>
#include <string.h>

#include "supervisor/packet.h"
#include "supervisor/reply.h"

namespace caisson {

using protocol::Header;

namespace {

// Above this many queued answers the program is not listening: it may not ask either.
constexpr size_t kQueueBound = 256;
constexpr int kRequestsPerTurn = 16;

// Bytes of one packet; static, so that only what is used of it becomes resident.
alignas(8) uint8_t packet_buffer[sizeof(Header) + protocol::kMaxInlineBody];

}  // namespace

void Answers::Failed(uint32_t id, const Failure& failure, const std::string& detail) {
  Send(protocol::Type::kFailed, id, FailedBody(failure, detail), {});
}

Result<Request> ReadRequest(Bytes packet, bool truncated, std::vector<UniqueFd> fds, uint32_t* id) {
  *id = 0;
  if (packet.size() < sizeof(Header)) return Fail(Step::kProtocol, EBADMSG);
  Header header;
  memcpy(&header, packet.data(), sizeof header);
  *id = header.id;
  if (truncated) return Fail(Step::kProtocol, EMSGSIZE);
  if ((header.flags & ~uint32_t{protocol::kBodyInMemfd}) != 0) return Fail(Step::kProtocol, EINVAL);
  if (header.fd_count > protocol::kMaxFds || header.body_bytes > protocol::kMaxBody) {
    return Fail(Step::kProtocol, E2BIG);
  }
  const bool in_memfd = (header.flags & protocol::kBodyInMemfd) != 0;
  if (fds.size() != size_t{header.fd_count} + (in_memfd ? 1 : 0)) {
    return Fail(Step::kProtocol, EBADF);
  }
  const Bytes rest = packet.subspan(sizeof header);
  if (rest.size() != (in_memfd ? 0 : header.body_bytes)) return Fail(Step::kProtocol, EBADMSG);

  Request request;
  request.type = static_cast<protocol::Type>(header.type);
  request.id = header.id;
  if (in_memfd) {
    auto body = Body::FromMemfd(std::move(fds.front()), header.body_bytes);
    if (!body) return std::unexpected(body.error());
    request.body = std::move(*body);
    fds.erase(fds.begin());
  } else {
    request.body = std::make_shared<Body>(rest);
  }
  request.fds = std::move(fds);
  return request;
}

void Channel::Open(Handle handle, std::function<void()> ended) {
  handle_ = std::move(handle);
  on_end_ = std::move(ended);
  watching_ = EPOLLIN;
  token_ = loop_.Watch(socket_.get(), watching_, [this](uint32_t events) { OnReady(events); });
}

void Channel::OnReady(uint32_t events) {
  if ((events & EPOLLOUT) != 0) WriteSome();
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !ended_) ReadSome();
  Update();
}

void Channel::ReadSome() {
  // When requests are not read (the queue is long, or the end has begun) a hang-up still counts.
  for (int turn = 0; turn < kRequestsPerTurn && !ended_; ++turn) {
    if (reading_ && queue_.size() > kQueueBound) return;
    Packet packet;
    const int error = ReceivePacket(socket_.get(), packet_buffer, &packet, Wait::kNever);
    if (error == EAGAIN) return;
    if (error != 0 || packet.bytes == 0) return End();
    if (!reading_) continue;
    uint32_t id = 0;
    auto request = ReadRequest(Bytes{packet_buffer, packet.bytes}, packet.truncated,
                               std::move(packet.fds), &id);
    if (!request) {
      Failed(id, request.error(), "message");
    } else {
      handle_(std::move(*request));
    }
  }
}

void Channel::Send(protocol::Type type, uint32_t id, const FieldWriter& body,
                   std::vector<UniqueFd> fds) {
  if (ended_) return;
  Header header = {};
  header.type = static_cast<uint16_t>(type);
  header.fd_count = static_cast<uint16_t>(fds.size());
  header.id = id;
  header.body_bytes = static_cast<uint32_t>(body.bytes().size());

  Bytes rest = body.bytes();
  if (rest.size() > protocol::kMaxInlineBody) {
    auto memfd = SealedBytes(rest);
    if (!memfd) {
      // Too little memory to say it: say that.
      if (type != protocol::Type::kFailed) Failed(id, memfd.error(), "answer");
      return;
    }
    header.flags = protocol::kBodyInMemfd;
    fds.insert(fds.begin(), std::move(*memfd));
    rest = {};
  }

  if (queue_.empty()) {
    const iovec parts[2] = {{&header, sizeof header},
                            {const_cast<uint8_t*>(rest.data()), rest.size()}};
    int raw[protocol::kMaxFds + 1];
    for (size_t i = 0; i < fds.size(); ++i) raw[i] = fds[i].get();
    const int error = SendPacket(socket_.get(), parts, {raw, fds.size()}, Wait::kNever);
    if (error == 0) return;
    if (error != EAGAIN && error != ENOBUFS && error != ETOOMANYREFS) return End();
  }
  Outgoing message;
  const auto* raw_header = reinterpret_cast<const uint8_t*>(&header);
  message.bytes.assign(raw_header, raw_header + sizeof header);
  message.bytes.insert(message.bytes.end(), rest.begin(), rest.end());
  message.fds = std::move(fds);
  queue_.push_back(std::move(message));
  Update();
}

void Channel::WriteSome() {
  while (!queue_.empty()) {
    Outgoing& message = queue_.front();
    const iovec part = {message.bytes.data(), message.bytes.size()};
    int raw[protocol::kMaxFds + 1];
    for (size_t i = 0; i < message.fds.size(); ++i) raw[i] = message.fds[i].get();
    const int error =
        SendPacket(socket_.get(), {&part, 1}, {raw, message.fds.size()}, Wait::kNever);
    if (error == EAGAIN || error == ENOBUFS || error == ETOOMANYREFS) return;
    if (error != 0) return End();
    queue_.pop_front();
  }
  if (on_flushed_) std::exchange(on_flushed_, nullptr)();
}

void Channel::Update() {
  if (token_ == 0) return;
  uint32_t wanted = 0;
  if (queue_.size() <= kQueueBound) wanted |= EPOLLIN;
  if (!queue_.empty()) wanted |= EPOLLOUT;
  if (wanted == watching_) return;
  watching_ = wanted;
  loop_.Change(token_, wanted);
}

void Channel::Flush(std::function<void()> then) {
  if (ended_ || queue_.empty()) return then();
  on_flushed_ = std::move(then);
}

void Channel::StopReading() {
  reading_ = false;
}

void Channel::End() {
  if (ended_) return;
  ended_ = true;
  queue_.clear();
  loop_.Forget(&token_);
  socket_.reset();
  // Not from here: the caller may be in the middle of answering.
  loop_.Soon([this] {
    if (on_flushed_) std::exchange(on_flushed_, nullptr)();
    if (on_end_) std::exchange(on_end_, nullptr)();
  });
}

}  // namespace caisson
