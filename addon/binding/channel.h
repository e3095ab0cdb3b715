// zone: loop
#pragma once

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "binding/addon.h"
#include "binding/collect.h"
#include "binding/js.h"
#include "binding/message_socket.h"
#include "binding/spawn.h"

namespace caisson::binding {

// The native half of the class Channel: see lib/native/types.ts for what is promised. It lives as
// long as its JavaScript object, which is held from the spawn until onClose has been called.
class Channel final : public Resource {
 public:
  // The constructor function, for the exports.
  [[nodiscard]] static napi_value Define(napi_env env) noexcept;

  explicit Channel(Addon& addon) noexcept : addon_(addon), env_(addon.env()) {}
  ~Channel();

  // For Collect: all of it has come.
  void Complete(Collect& collect) noexcept;
  // Calls into the program as a turn of its own; the channel may be closed afterwards.
  void CallJs(napi_value function, size_t count, const napi_value* args) noexcept;

 private:
  // One per exported method: they check the arguments and call the member below.
  static napi_value New(napi_env env, napi_callback_info info);
  static napi_value SendFrom(napi_env env, napi_callback_info info);
  static napi_value CollectFrom(napi_env env, napi_callback_info info);
  static napi_value AbandonFrom(napi_env env, napi_callback_info info);
  static napi_value CloseFrom(napi_env env, napi_callback_info info);
  static napi_value RefFrom(napi_env env, napi_callback_info info);
  static napi_value UnrefFrom(napi_env env, napi_callback_info info);
  // Throws a TypeError and returns null when `self` is no channel.
  static Channel* Of(napi_env env, napi_value self) noexcept;

  // Takes over what was spawned. 0 or an errno.
  [[nodiscard]] int Start(Spawned spawned, napi_value on_message, napi_value on_close) noexcept;
  [[nodiscard]] int Post(const protocol::Header& header, Bytes body, Descriptors fds) noexcept;
  struct CollectRequest {
    protocol::Header header{};
    Bytes body;
    napi_value input = nullptr;  // a Uint8Array: `input_bytes`
    Bytes input_bytes;
    int input_fd = -1;
    size_t limit = 0;
    napi_value done = nullptr;
  };
  [[nodiscard]] SystemError StartCollect(const CollectRequest& request) noexcept;

  void OnSocket(uint32_t events) noexcept;
  void OnPidfd(uint32_t events) noexcept;
  void ScheduleLater() noexcept;
  void OnLater() noexcept;
  bool ReadOne() noexcept;
  [[nodiscard]] bool Deliver(Incoming& message) noexcept;
  void WatchSocket() noexcept;
  void CloseSocket() noexcept;
  void LoseAll() noexcept;
  void End(ExitStatus status) noexcept;
  void Abandon() noexcept override;

  // Where `id` is, or would be, in collects_.
  [[nodiscard]] size_t PositionOf(uint32_t id) const noexcept;
  [[nodiscard]] Collect* Collecting(uint32_t id) const noexcept;
  void Forget(uint32_t id) noexcept;

  Addon& addon_;
  napi_env env_;
  napi_ref self_ = nullptr;  // strong until onClose was called, and while later_ is to come
  napi_ref on_message_ = nullptr;
  napi_ref on_close_ = nullptr;
  MessageSocket socket_;
  UniqueFd pidfd_;
  Watch watch_socket_;
  Watch watch_pidfd_;
  Later later_;
  std::vector<Collect*> collects_;  // by id
  uint32_t references_ = 0;
  bool open_ = false;         // onClose is still to come
  bool later_holds_ = false;  // later_ has a share of self_
};

}  // namespace caisson::binding
