// zone: loop
#pragma once

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

#include <span>

#include "base/fields.h"
#include "binding/message_socket.h"

// Between JavaScript values and ours, over the plain C Node-API: every status is looked at (in a
// worker that is being terminated any call may fail), nothing throws, nothing needs libstdc++.
namespace caisson::binding {

// The arguments and `this` of one call; missing arguments are undefined.
template <size_t kCount>
struct Call {
  napi_value args[kCount > 0 ? kCount : 1] = {};
  napi_value self = nullptr;
  void* data = nullptr;

  // False with nothing to be done when JavaScript can no longer run.
  [[nodiscard]] bool Read(napi_env env, napi_callback_info info) noexcept {
    size_t count = kCount;
    return napi_get_cb_info(env, info, &count, args, &self, &data) == napi_ok;
  }
};

// A NUL-terminated UTF-8 copy of a JavaScript string.
class Text {
 public:
  Text() noexcept = default;
  Text(Text&& other) noexcept : text_(other.text_) { other.text_ = nullptr; }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  ~Text();
  [[nodiscard]] char* get() const noexcept { return text_; }

 private:
  friend bool ReadText(napi_env, napi_value, const char*, Text*) noexcept;
  char* text_ = nullptr;
};

// Each Read… checks and converts one value; false after a TypeError saying `what` was thrown.
[[nodiscard]] bool ReadInteger(napi_env env, napi_value value, int64_t least, int64_t most,
                               const char* what, int64_t* number) noexcept;
[[nodiscard]] bool ReadFd(napi_env env, napi_value value, const char* what, int* fd) noexcept;
[[nodiscard]] bool ReadText(napi_env env, napi_value value, const char* what, Text* text) noexcept;
// A view: valid until JavaScript runs again.
[[nodiscard]] bool ReadBytes(napi_env env, napi_value value, const char* what,
                             Bytes* bytes) noexcept;
[[nodiscard]] bool ReadFunction(napi_env env, napi_value value, const char* what) noexcept;
// At most protocol::kMaxFds of them.
struct FdList {
  int fds[protocol::kMaxFds] = {};
  uint32_t count = 0;
};
[[nodiscard]] bool ReadFds(napi_env env, napi_value value, const char* what, FdList* list) noexcept;

[[nodiscard]] napi_valuetype TypeOf(napi_env env, napi_value value) noexcept;

void ThrowTypeError(napi_env env, const char* message) noexcept;
// As Node's own fs throws: message, code, errno (negative), syscall and, when given, path.
void ThrowErrno(napi_env env, int error, const char* syscall, const char* path = nullptr) noexcept;
[[nodiscard]] napi_value MakeErrno(napi_env env, int error, const char* syscall,
                                   const char* path) noexcept;

[[nodiscard]] napi_value Undefined(napi_env env) noexcept;
[[nodiscard]] napi_value Null(napi_env env) noexcept;
// Null when JavaScript can no longer run.
[[nodiscard]] napi_value NewBuffer(napi_env env, const uint8_t* data, size_t size) noexcept;
[[nodiscard]] bool SetInteger(napi_env env, napi_value object, const char* name,
                              int64_t value) noexcept;

// A function whose `length` says how many arguments it takes.
[[nodiscard]] napi_value NewFunction(napi_env env, const char* name, int arguments,
                                     napi_callback callback) noexcept;
[[nodiscard]] bool SetLength(napi_env env, napi_value function, int arguments) noexcept;

struct Method {
  const char* name;
  napi_callback callback;
  int arguments;
};
// A class whose objects `constructor` wraps something with.
[[nodiscard]] napi_value DefineClass(napi_env env, const Method& constructor,
                                     std::span<const Method> methods) noexcept;

// Calls `function` as a turn of its own (ticks and microtasks follow). What it throws is the
// program's uncaught exception. Does nothing once JavaScript can no longer run.
void CallBack(napi_env env, napi_async_context context, napi_value self, napi_value function,
              size_t count, const napi_value* args) noexcept;

class HandleScope {
 public:
  explicit HandleScope(napi_env env) noexcept : env_(env) {
    if (napi_open_handle_scope(env, &scope_) != napi_ok) scope_ = nullptr;
  }
  HandleScope(const HandleScope&) = delete;
  HandleScope& operator=(const HandleScope&) = delete;
  ~HandleScope() {
    if (scope_ != nullptr) (void)napi_close_handle_scope(env_, scope_);
  }
  [[nodiscard]] bool ok() const noexcept { return scope_ != nullptr; }

 private:
  napi_env env_;
  napi_handle_scope scope_ = nullptr;
};

}  // namespace caisson::binding
