// zone: loop
#pragma once

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fields.h"
#include "binding/output.h"
#include "binding/pipes.h"
#include "binding/poller.h"

namespace caisson::binding {

class Channel;

// One run or exec whose output is gathered here: from the request to the reply and the ends of both
// outputs. It tells the channel when all has come.
class Collect {
 public:
  Collect(napi_env env, Poller& poller, Channel& channel, uint32_t id) noexcept
      : env_(env), poller_(poller), channel_(channel), id_(id) {}
  Collect(const Collect&) = delete;
  Collect& operator=(const Collect&) = delete;
  ~Collect();

  [[nodiscard]] uint32_t id() const noexcept { return id_; }

  // Keeps `done` and takes the local ends. `input` is null without a pipe to write.
  [[nodiscard]] bool Keep(napi_value done, napi_value input) noexcept;
  void TakeOutputs(UniqueFd out, UniqueFd err, size_t limit) noexcept;
  // Writes what fits of `bytes`, at once; the rest follows from the kept `input`.
  void TakeInput(UniqueFd pipe, Bytes bytes) noexcept;
  // Watches the pipes. 0 or an errno.
  [[nodiscard]] int Start() noexcept;

  // Exited (then the outputs are awaited) or Failed, or 0 for the end of the channel.
  void Reply(uint16_t type, Bytes body) noexcept;
  // From now on the ends of the outputs are not awaited.
  void StopWaiting() noexcept { waits_ = false; }
  [[nodiscard]] bool complete() const noexcept {
    return replied_ && (!waits_ || (out_.ended() && err_.ended()));
  }
  // Calls `done` and deletes itself; the channel has forgotten it.
  void Finish() noexcept;
  // What has come until now, copied: {stdout, stderr, truncated}.
  [[nodiscard]] napi_value Snapshot() const noexcept;

 private:
  static constexpr int kReadsAtOnce = 4;  // of 64 KiB

  void OnOut(uint32_t) noexcept { Drain(out_, watch_out_); }
  void OnErr(uint32_t) noexcept { Drain(err_, watch_err_); }
  void OnIn(uint32_t) noexcept;
  void Drain(Output& output, Watch& watch) noexcept;
  void ReadSome(Output& output, Watch& watch) noexcept;
  void EndInput() noexcept;
  [[nodiscard]] napi_value BufferOf(Output& output) const noexcept;

  napi_env env_;
  Poller& poller_;
  Channel& channel_;
  uint32_t id_;
  napi_ref done_ = nullptr;
  napi_ref input_ = nullptr;
  size_t written_ = 0;
  UniqueFd in_;
  Output out_;
  Output err_;
  Watch watch_in_;
  Watch watch_out_;
  Watch watch_err_;
  bool replied_ = false;
  bool waits_ = true;
  uint16_t type_ = 0;
  uint8_t* body_ = nullptr;
  size_t body_bytes_ = 0;
};

}  // namespace caisson::binding
