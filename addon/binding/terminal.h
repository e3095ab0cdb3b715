// zone: loop
#pragma once

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

#include "binding/addon.h"
#include "binding/js.h"

namespace caisson::binding {

// The native half of the class Terminal, the master of a pseudo-terminal: see lib/native/types.ts
// for what is promised. Node's own streams will not do: libuv takes a master for a terminal of its
// own and writes to it blocking. Its object is held for as long as it is open.
class Terminal final : public Resource {
 public:
  // The constructor function, for the exports.
  [[nodiscard]] static napi_value Define(napi_env env) noexcept;

  explicit Terminal(Addon& addon) noexcept : addon_(addon), env_(addon.env()) {}
  ~Terminal();

 private:
  static napi_value New(napi_env env, napi_callback_info info);
  static napi_value ResumeFrom(napi_env env, napi_callback_info info);
  static napi_value PauseFrom(napi_env env, napi_callback_info info);
  static napi_value WriteFrom(napi_env env, napi_callback_info info);
  static napi_value EofFrom(napi_env env, napi_callback_info info);
  static napi_value ResizeFrom(napi_env env, napi_callback_info info);
  static napi_value FinishFrom(napi_env env, napi_callback_info info);
  static napi_value CloseFrom(napi_env env, napi_callback_info info);
  // Throws a TypeError and returns null when `self` is no terminal.
  static Terminal* Of(napi_env env, napi_value self) noexcept;

  enum class Read { kDry, kFull, kEnded };
  // Fills `to` as far as it can. kEnded: nobody holds the other end any more.
  Read ReadInto(uint8_t* to, size_t room, size_t* got) noexcept;
  void OnReady(uint32_t events) noexcept;
  void UpdateWatch() noexcept;
  void CallJs(napi_value self, napi_ref function, size_t count, const napi_value* args) noexcept;
  void Close() noexcept;
  void Abandon() noexcept override;

  Addon& addon_;
  napi_env env_;
  napi_ref self_ = nullptr;  // strong while it is open
  napi_ref on_data_ = nullptr;
  napi_ref on_drain_ = nullptr;
  UniqueFd master_;
  Watch watch_;
  bool reading_ = false;
  bool writing_ = false;  // something waits for room
};

}  // namespace caisson::binding
