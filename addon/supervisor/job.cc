// zone: native
#include "supervisor/job.h"

#include <errno.h>
#include <string.h>

#include "supervisor/packet.h"

namespace caisson {

namespace {

struct Wire {
  JobKind kind;
  Failure failure;
  int32_t pid;
  uint32_t recycled;
  uint32_t roles;  // bits
  uint32_t more;
  uint32_t text_bytes;
  uint32_t field_bytes;
  uint32_t body_bytes;  // inline, or of the memfd when the role kBody is there
};

constexpr size_t kMaxText = 16 * 1024;
constexpr size_t kMaxPacket = 192 * 1024;
constexpr size_t kRoles = static_cast<size_t>(Role::kCount);
static_assert(kRoles <= 32);
constexpr size_t kFirstMore = kMaxPacketFds - kRoles;

alignas(8) uint8_t packet_buffer[kMaxPacket];

}  // namespace

std::string Message::First(JobTag tag) const {
  auto texts = All(tag);
  return texts.empty() ? std::string() : std::move(texts.front());
}

std::vector<std::string> Message::All(JobTag tag) const {
  std::vector<std::string> found;
  FieldReader reader(received_fields);
  for (Field field; reader.Next(&field);) {
    std::string_view value;
    if (field.tag == static_cast<uint16_t>(tag) && field.ReadString(&value)) {
      found.emplace_back(value);
    }
  }
  return found;
}

uint64_t Message::Number(JobTag tag) const {
  FieldReader reader(received_fields);
  for (Field field; reader.Next(&field);) {
    uint64_t value = 0;
    if (field.tag == static_cast<uint16_t>(tag) && field.ReadU64(&value)) return value;
  }
  return 0;
}

void Message::PutKit(launch::Kit kit) {
  for (size_t i = 0; i < launch::kParts; ++i) {
    fds[static_cast<size_t>(Role::kKit) + i] = std::move(kit.parts[i]);
  }
}

launch::Kit Message::TakeKit() {
  launch::Kit kit;
  for (size_t i = 0; i < launch::kParts; ++i) {
    kit.parts[i] = std::move(fds[static_cast<size_t>(Role::kKit) + i]);
  }
  return kit;
}

int SendMessage(int socket, Message& message, bool block) {
  const Wait wait = block ? Wait::kBlock : Wait::kNever;
  Wire wire = {};
  wire.kind = message.kind;
  wire.failure = message.failure;
  wire.pid = message.pid;
  wire.recycled = message.recycled;
  wire.more = static_cast<uint32_t>(message.more.size());
  if (message.text.size() > kMaxText) message.text.resize(kMaxText);
  wire.text_bytes = static_cast<uint32_t>(message.text.size());
  const Bytes fields = message.fields.bytes();
  wire.field_bytes = static_cast<uint32_t>(fields.size());

  std::vector<int> raw;
  Bytes body;
  if (message.body) {
    body = message.body->bytes();
    wire.body_bytes = static_cast<uint32_t>(body.size());
    if (message.body->memfd() >= 0) {
      wire.roles |= 1u;  // Role::kBody, the first
      raw.push_back(message.body->memfd());
      body = {};
    }
  }
  for (size_t role = 1; role < kRoles; ++role) {
    if (!message.fds[role]) continue;
    wire.roles |= 1u << role;
    raw.push_back(message.fds[role].get());
  }
  size_t sent_more = 0;
  for (; sent_more < message.more.size() && sent_more < kFirstMore; ++sent_more) {
    raw.push_back(message.more[sent_more].get());
  }
  const iovec parts[] = {{&wire, sizeof wire},
                         {message.text.data(), message.text.size()},
                         {const_cast<uint8_t*>(fields.data()), fields.size()},
                         {const_cast<uint8_t*>(body.data()), body.size()}};
  if (sizeof wire + message.text.size() + fields.size() + body.size() > kMaxPacket) return E2BIG;
  if (const int error = SendPacket(socket, parts, raw, wait); error != 0) return error;
  while (sent_more < message.more.size()) {
    raw.clear();
    for (; sent_more < message.more.size() && raw.size() < kMaxPacketFds; ++sent_more) {
      raw.push_back(message.more[sent_more].get());
    }
    uint8_t nothing = 0;
    const iovec part = {&nothing, 1};
    if (const int error = SendPacket(socket, {&part, 1}, raw, wait); error != 0) return error;
  }
  for (UniqueFd& fd : message.fds) fd.reset();
  message.more.clear();
  return 0;
}

MessageReader::State MessageReader::Receive(int socket, bool block) {
  Packet packet;
  const int error =
      ReceivePacket(socket, packet_buffer, &packet, block ? Wait::kBlock : Wait::kNever);
  if (error == EAGAIN) return State::kPartial;
  if (error != 0 || packet.bytes == 0 || packet.truncated) return State::kEnded;

  if (expected_ == 0) {
    Wire wire;
    if (packet.bytes < sizeof wire) return State::kEnded;
    memcpy(&wire, packet_buffer, sizeof wire);
    message_ = {};
    message_.kind = wire.kind;
    message_.failure = wire.failure;
    message_.pid = wire.pid;
    message_.recycled = wire.recycled;
    const uint8_t* at = packet_buffer + sizeof wire;
    message_.text.assign(reinterpret_cast<const char*>(at), wire.text_bytes);
    at += wire.text_bytes;
    message_.received_fields.assign(at, at + wire.field_bytes);
    at += wire.field_bytes;
    size_t next = 0;
    for (size_t role = 0; role < kRoles && next < packet.fds.size(); ++role) {
      if ((wire.roles & (1u << role)) != 0) message_.fds[role] = std::move(packet.fds[next++]);
    }
    if (message_.fd(Role::kBody)) {
      auto body = Body::FromMemfd(std::move(message_.fd(Role::kBody)), wire.body_bytes);
      if (!body) return State::kEnded;
      message_.body = std::move(*body);
    } else if (wire.body_bytes != 0) {
      message_.body = std::make_shared<Body>(Bytes{at, wire.body_bytes});
    }
    expected_ = wire.more;
    packet.fds.erase(packet.fds.begin(), packet.fds.begin() + static_cast<ptrdiff_t>(next));
  }
  for (UniqueFd& fd : packet.fds) {
    if (expected_ == 0) return State::kEnded;
    message_.more.push_back(std::move(fd));
    --expected_;
  }
  return expected_ == 0 ? State::kWhole : State::kPartial;
}

}  // namespace caisson
