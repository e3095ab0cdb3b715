// zone: loop
#include "binding/addon.h"

#include <errno.h>
#include <string.h>

#include <new>

#include "binding/channel.h"
#include "binding/js.h"
#include "binding/lock.h"
#include "binding/pipes.h"
#include "binding/terminal.h"
#include "plan/protocol.h"

namespace caisson::binding {

void Resource::List(Addon& addon) noexcept {
  next_ = addon.resources_;
  link_ = &addon.resources_;
  if (next_ != nullptr) next_->link_ = &next_;
  addon.resources_ = this;
}

void Resource::Unlist() noexcept {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
}

Addon* Addon::Of(napi_env env) noexcept {
  void* data = nullptr;
  return napi_get_instance_data(env, &data) == napi_ok ? static_cast<Addon*>(data) : nullptr;
}

Addon* Addon::Make(napi_env env) noexcept {
  auto* const addon = new (std::nothrow) Addon(env);
  if (addon == nullptr) return nullptr;
  const napi_status status = napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* self) { static_cast<Addon*>(self)->End(); },
      addon, &addon->end_);
  if (status != napi_ok) {
    delete addon;
    return nullptr;
  }
  return napi_set_instance_data(env, addon, nullptr, nullptr) == napi_ok ? addon : nullptr;
}

int Addon::Ready() noexcept {
  if (ending_) return ECANCELED;
  if (poller_.open()) return 0;
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return ENOTSUP;
  if (context_ == nullptr) {
    napi_value name = nullptr;
    if (napi_create_string_utf8(env_, "caisson", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_async_init(env_, nullptr, name, &context_) != napi_ok) {
      return ECANCELED;
    }
  }
  return poller_.Open(loop, OnTurn, this);
}

void Addon::Drop(int fd) noexcept {
  for (int& held : held_) {
    if (held != fd) continue;
    held = held_.back();
    return held_.pop_back();
  }
}

void Addon::OnTurn(void* self) noexcept {
  auto* const addon = static_cast<Addon*>(self);
  const HandleScope scope(addon->env_);
  if (scope.ok()) addon->poller_.Dispatch();
}

// The env goes: the program ends, a worker was terminated, an embedder closed it. JavaScript no
// longer runs; every descriptor of ours is closed here, which tells each supervisor to end.
void Addon::End() noexcept {
  ending_ = true;
  (void)napi_set_instance_data(env_, nullptr, nullptr, nullptr);
  while (resources_ != nullptr) {
    Resource* const newest = resources_;
    newest->Unlist();
    newest->Abandon();
  }
  for (const int fd : held_) UniqueFd(fd).reset();
  held_.clear();
  if (context_ != nullptr) (void)napi_async_destroy(env_, context_);
  const auto ended = [](void* self) {
    auto* const addon = static_cast<Addon*>(self);
    (void)napi_remove_async_cleanup_hook(addon->end_);
    delete addon;
  };
  if (poller_.open()) {
    poller_.Close(ended);
  } else {
    ended(this);
  }
}

namespace {

napi_value PidOfFd(napi_env env, napi_callback_info info) {
  Call<1> call;
  int fd = -1;
  if (!call.Read(env, info) || !ReadFd(env, call.args[0], "pidfd", &fd)) return nullptr;
  napi_value pid = nullptr;
  return napi_create_int32(env, PidOf(fd), &pid) == napi_ok ? pid : nullptr;
}

napi_value CloseFd(napi_env env, napi_callback_info info) {
  Call<1> call;
  int fd = -1;
  if (!call.Read(env, info) || !ReadFd(env, call.args[0], "fd", &fd)) return nullptr;
  if (Addon* const addon = Addon::Of(env); addon != nullptr) addon->Drop(fd);
  UniqueFd(fd).reset();
  return nullptr;
}

napi_value NewPipe(napi_env env, napi_callback_info info) {
  Call<2> call;
  Text direction;
  if (!call.Read(env, info) || !ReadText(env, call.args[0], "direction", &direction)) {
    return nullptr;
  }
  const bool to_child = strcmp(direction.get(), "toChild") == 0;
  if (!to_child && strcmp(direction.get(), "fromChild") != 0) {
    ThrowTypeError(env, "direction must be 'toChild' or 'fromChild'");
    return nullptr;
  }
  int64_t bytes = 0;
  constexpr int64_t kMostBytes = int64_t{1} << 30;
  if (TypeOf(env, call.args[1]) != napi_undefined &&
      !ReadInteger(env, call.args[1], 0, kMostBytes, "bytes", &bytes)) {
    return nullptr;
  }
  Pipe pipe;
  const int error = MakePipe(to_child ? Direction::kToChild : Direction::kFromChild,
                             static_cast<int>(bytes), &pipe);
  if (error != 0) {
    ThrowErrno(env, error, "pipe2");
    return nullptr;
  }
  napi_value made = nullptr;
  if (napi_create_object(env, &made) != napi_ok ||
      !SetInteger(env, made, "local", pipe.local.get()) ||
      !SetInteger(env, made, "remote", pipe.remote.get())) {
    return nullptr;
  }
  (void)pipe.local.release();
  // What becomes of the other one, a stream of Node's, we are not told.
  if (Addon* const addon = Addon::Of(env); addon != nullptr) addon->Hold(pipe.remote.get());
  (void)pipe.remote.release();
  return made;
}

}  // namespace

}  // namespace caisson::binding

NAPI_MODULE_INIT() {
  using namespace caisson::binding;
  if (strcmp(uv_handle_type_name(kUvPollType), "poll") != 0) {
    (void)napi_throw_error(env, nullptr, "this Node's libuv numbers its handles differently");
    return nullptr;
  }
  if (Addon::Make(env) == nullptr) return nullptr;
  const struct {
    const char* name;
    napi_value value;
  } members[] = {
      {"Channel", Channel::Define(env)},
      {"Terminal", Terminal::Define(env)},
      {"lock", NewFunction(env, "lock", 3, Lock)},
      {"pidOf", NewFunction(env, "pidOf", 1, PidOfFd)},
      {"pipe", NewFunction(env, "pipe", 2, NewPipe)},
      {"closeFd", NewFunction(env, "closeFd", 1, CloseFd)},
  };
  for (const auto& member : members) {
    if (member.value == nullptr ||
        napi_set_named_property(env, exports, member.name, member.value) != napi_ok) {
      return nullptr;
    }
  }
  if (!SetInteger(env, exports, "protocolVersion", caisson::protocol::kVersion)) return nullptr;
  return exports;
}
