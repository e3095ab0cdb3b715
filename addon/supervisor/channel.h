// zone: native
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/unique_fd.h"
#include "plan/protocol.h"
#include "supervisor/body.h"
#include "supervisor/loop.h"

namespace caisson {

struct Request {
  protocol::Type type = {};
  uint32_t id = 0;
  std::shared_ptr<Body> body;
  std::vector<UniqueFd> fds;
};

// Where answers go.
class Answers {
 public:
  virtual void Send(protocol::Type type, uint32_t id, const FieldWriter& body,
                    std::vector<UniqueFd> fds) = 0;
  void Done(uint32_t id) { Send(protocol::Type::kDone, id, {}, {}); }
  void Failed(uint32_t id, const Failure& failure, const std::string& detail = {});

 protected:
  ~Answers() = default;
};

// Checks one packet of the program for form: header, flags, sizes, counts, seals. On failure `id`
// is the one to answer to (0 when not even that could be read).
[[nodiscard]] Result<Request> ReadRequest(Bytes packet, bool truncated, std::vector<UniqueFd> fds,
                                          uint32_t* id);

// The supervisor's end of the channel. Never blocks: what the socket does not take is queued, and
// while much is queued no further requests are read, which bounds the queue by what is running.
class Channel final : public Answers {
 public:
  using Handle = std::function<void(Request request)>;

  Channel(Loop& loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}

  // `ended` comes once, when the program's end has closed.
  void Open(Handle handle, std::function<void()> ended);
  void Send(protocol::Type type, uint32_t id, const FieldWriter& body,
            std::vector<UniqueFd> fds) override;
  // Runs `then` when everything queued was sent or can be sent no more.
  void Flush(std::function<void()> then);
  // Reads no further requests.
  void StopReading();

 private:
  struct Outgoing {
    std::vector<uint8_t> bytes;
    std::vector<UniqueFd> fds;
  };
  void OnReady(uint32_t events);
  void ReadSome();
  void WriteSome();
  void Update();
  void End();

  Loop& loop_;
  UniqueFd socket_;
  Loop::Token token_ = 0;
  uint32_t watching_ = 0;
  bool reading_ = true;
  bool ended_ = false;
  Handle handle_;
  std::function<void()> on_end_;
  std::function<void()> on_flushed_;
  std::deque<Outgoing> queue_;
};

}  // namespace caisson
