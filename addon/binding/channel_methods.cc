// zone: loop
#include <errno.h>
#include <string.h>

#include <new>
#include <utility>
#include <vector>

#include "binding/channel.h"

// The methods of the class Channel as JavaScript sees them: check every argument once, then act.
// Arrays and option objects are read before typed arrays: a getter may run the program's code.
namespace caisson::binding {

namespace {

// Marks our objects: a method called on anything else is a TypeError.
constexpr napi_type_tag kChannelTag = {0x1f4b8c7d92e84a37, 0xb0c6e5d41a7f9032};
constexpr int64_t kMostId = UINT32_MAX;
constexpr int64_t kMostType = UINT16_MAX;

bool Get(napi_env env, napi_value object, const char* name, napi_value* value) noexcept {
  return napi_get_named_property(env, object, name, value) == napi_ok;
}

struct Options {
  Text supervisor;
  std::vector<Text> args;
  napi_value on_message = nullptr;
  napi_value on_close = nullptr;

  [[nodiscard]] bool Read(napi_env env, napi_value options) noexcept {
    constexpr uint32_t kMostArgs = 64;
    napi_value value = nullptr;
    napi_value list = nullptr;
    bool is_array = false;
    uint32_t length = 0;
    if (TypeOf(env, options) != napi_object) {
      ThrowTypeError(env, "options must be an object");
      return false;
    }
    if (!Get(env, options, "supervisor", &value) ||
        !ReadText(env, value, "options.supervisor", &supervisor) ||
        !Get(env, options, "args", &list)) {
      return false;
    }
    if (napi_is_array(env, list, &is_array) != napi_ok || !is_array ||
        napi_get_array_length(env, list, &length) != napi_ok || length > kMostArgs) {
      ThrowTypeError(env, "options.args must be an array of at most 64 strings");
      return false;
    }
    args.resize(length);
    for (uint32_t i = 0; i < length; ++i) {
      if (napi_get_element(env, list, i, &value) != napi_ok ||
          !ReadText(env, value, "options.args", &args[i])) {
        return false;
      }
    }
    return Get(env, options, "onMessage", &on_message) &&
           ReadFunction(env, on_message, "options.onMessage") &&
           Get(env, options, "onClose", &on_close) &&
           ReadFunction(env, on_close, "options.onClose");
  }
};

// CAISSON_DEBUG as the program sees it: a worker has an environment of its own, and getenv() may
// run while another thread changes it.
Stderr StderrOf(napi_env env) noexcept {
  napi_value value = nullptr;
  size_t length = 0;
  bool pending = false;
  if (napi_get_global(env, &value) != napi_ok || !Get(env, value, "process", &value) ||
      !Get(env, value, "env", &value) || !Get(env, value, "CAISSON_DEBUG", &value) ||
      TypeOf(env, value) != napi_string ||
      napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending) {
      (void)napi_get_and_clear_last_exception(env, &value);
    }
    return Stderr::kNull;
  }
  return length > 0 ? Stderr::kKept : Stderr::kNull;
}

// The descriptors of a message; those in `close` become its own. What is only in `close` goes to
// `rest`, which closes it with itself.
bool ReadDescriptors(napi_env env, Addon& addon, napi_value fds, napi_value close,
                     Descriptors* message, Descriptors* rest) noexcept {
  FdList lent;
  FdList closing;
  if (!ReadFds(env, fds, "fds", &lent) || !ReadFds(env, close, "closeFds", &closing)) return false;
  for (uint32_t i = 0; i < lent.count; ++i) (void)message->Lend(lent.fds[i]);
  for (uint32_t i = 0; i < closing.count; ++i) {
    bool again = false;
    for (uint32_t j = 0; j < i; ++j) again = again || closing.fds[j] == closing.fds[i];
    addon.Drop(closing.fds[i]);
    if (!again && !message->Adopt(closing.fds[i])) (void)rest->Own(UniqueFd(closing.fds[i]));
  }
  return true;
}

bool ReadHeader(napi_env env, napi_value type, napi_value id, protocol::Header* header) noexcept {
  int64_t type_number = 0;
  int64_t id_number = 0;
  if (!ReadInteger(env, type, 0, kMostType, "type", &type_number) ||
      !ReadInteger(env, id, 0, kMostId, "id", &id_number)) {
    return false;
  }
  *header = {};
  header->type = static_cast<uint16_t>(type_number);
  header->id = static_cast<uint32_t>(id_number);
  return true;
}

bool ReadBody(napi_env env, napi_value value, Bytes* body) noexcept {
  if (!ReadBytes(env, value, "body", body)) return false;
  if (body->size() <= protocol::kMaxBody) return true;
  ThrowTypeError(env, "body must be at most 32 MiB");
  return false;
}

}  // namespace

napi_value Channel::Define(napi_env env) noexcept {
  constexpr Method kMethods[] = {
      {"send", SendFrom, 5},   {"collect", CollectFrom, 6}, {"abandon", AbandonFrom, 1},
      {"close", CloseFrom, 0}, {"ref", RefFrom, 0},         {"unref", UnrefFrom, 0},
  };
  return DefineClass(env, {"Channel", New, 1}, kMethods);
}

Channel* Channel::Of(napi_env env, napi_value self) noexcept {
  bool ours = false;
  void* channel = nullptr;
  if (TypeOf(env, self) == napi_object &&
      napi_check_object_type_tag(env, self, &kChannelTag, &ours) == napi_ok && ours &&
      napi_unwrap(env, self, &channel) == napi_ok) {
    return static_cast<Channel*>(channel);
  }
  ThrowTypeError(env, "this must be a Channel");
  return nullptr;
}

napi_value Channel::New(napi_env env, napi_callback_info info) {
  Call<1> call;
  napi_value target = nullptr;
  if (!call.Read(env, info) || napi_get_new_target(env, info, &target) != napi_ok) return nullptr;
  if (target == nullptr) {
    ThrowTypeError(env, "Channel must be called with new");
    return nullptr;
  }
  Options options;
  if (!options.Read(env, call.args[0])) return nullptr;
  const Stderr keep_stderr = StderrOf(env);

  Addon* const addon = Addon::Of(env);
  if (const int error = addon == nullptr ? ECANCELED : addon->Ready(); error != 0) {
    ThrowErrno(env, error, "epoll_create1");
    return nullptr;
  }
  char name[] = "caisson-supervisor";
  std::vector<char*> argv = {name};
  for (const Text& arg : options.args) argv.push_back(arg.get());
  argv.push_back(nullptr);

  Spawned spawned;
  const SystemError failed = Spawn(options.supervisor.get(), argv.data(), keep_stderr, &spawned);
  if (failed.error != 0) {
    ThrowErrno(env, failed.error, failed.syscall, options.supervisor.get());
    return nullptr;
  }

  const pid_t pid = spawned.pid;
  auto* const channel = new (std::nothrow) Channel(*addon);
  // Half-made is undone by the destructor: the supervisor ends with our end of the channel.
  if (channel == nullptr ||
      napi_wrap(
          env, call.self, channel,
          [](napi_env, void* gone, void*) { delete static_cast<Channel*>(gone); }, nullptr,
          &channel->self_) != napi_ok) {
    delete channel;
    ReapInBackground(std::move(spawned.pidfd));
    ThrowErrno(env, ENOMEM, "napi_wrap");
    return nullptr;
  }
  const int error = channel->Start(std::move(spawned), options.on_message, options.on_close);
  if (error != 0) {
    channel->Abandon();
    ThrowErrno(env, error, "epoll_ctl");
    return nullptr;
  }
  napi_value number = nullptr;
  const bool set = napi_create_int32(env, pid, &number) == napi_ok;
  const napi_property_descriptor property = {"pid",   nullptr, nullptr,         nullptr,
                                             nullptr, number,  napi_enumerable, nullptr};
  if (!set || napi_type_tag_object(env, call.self, &kChannelTag) != napi_ok ||
      napi_define_properties(env, call.self, 1, &property) != napi_ok) {
    channel->Abandon();
    return nullptr;
  }
  return call.self;
}

napi_value Channel::SendFrom(napi_env env, napi_callback_info info) {
  Call<5> call;
  protocol::Header header{};
  Descriptors fds;
  Descriptors rest;
  Bytes body;
  if (!call.Read(env, info)) return nullptr;
  Channel* const channel = Of(env, call.self);
  if (channel == nullptr || !ReadHeader(env, call.args[0], call.args[1], &header) ||
      !ReadDescriptors(env, channel->addon_, call.args[3], call.args[4], &fds, &rest) ||
      !ReadBody(env, call.args[2], &body)) {
    return nullptr;
  }
  const int error = channel->Post(header, body, std::move(fds));
  if (error != 0) ThrowErrno(env, error, "sendmsg");
  return nullptr;
}

napi_value Channel::CollectFrom(napi_env env, napi_callback_info info) {
  Call<6> call;
  CollectRequest request;
  int64_t limit = 0;
  constexpr int64_t kMostSafe = (int64_t{1} << 53) - 1;
  constexpr int64_t kMostBytes = INT32_MAX;  // no buffer of V8's is refused at this size
  if (!call.Read(env, info)) return nullptr;
  Channel* const channel = Of(env, call.self);
  if (channel == nullptr || !ReadHeader(env, call.args[0], call.args[1], &request.header) ||
      !ReadInteger(env, call.args[4], 0, kMostSafe, "maxOutputBytes", &limit) ||
      !ReadFunction(env, call.args[5], "done")) {
    return nullptr;
  }
  request.limit = static_cast<size_t>(limit < kMostBytes ? limit : kMostBytes);
  request.done = call.args[5];
  switch (TypeOf(env, call.args[3])) {
    case napi_null:
      break;
    case napi_number:
      if (!ReadFd(env, call.args[3], "input", &request.input_fd)) return nullptr;
      break;
    default:
      request.input = call.args[3];
      if (!ReadBytes(env, request.input, "input", &request.input_bytes)) return nullptr;
  }
  if (!ReadBody(env, call.args[2], &request.body)) return nullptr;
  if (channel->Collecting(request.header.id) != nullptr) {
    (void)napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "id is already in use");
    return nullptr;
  }
  const SystemError failed = channel->StartCollect(request);
  if (failed.error != 0) ThrowErrno(env, failed.error, failed.syscall);
  return nullptr;
}

napi_value Channel::AbandonFrom(napi_env env, napi_callback_info info) {
  Call<1> call;
  int64_t id = 0;
  if (!call.Read(env, info)) return nullptr;
  Channel* const channel = Of(env, call.self);
  if (channel == nullptr || !ReadInteger(env, call.args[0], 0, kMostId, "id", &id)) return nullptr;
  Collect* const collect = channel->Collecting(static_cast<uint32_t>(id));
  if (collect == nullptr) return Null(env);
  collect->StopWaiting();
  if (collect->complete()) channel->ScheduleLater();
  return collect->Snapshot();
}

napi_value Channel::CloseFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Channel* const channel = Of(env, call.self);
  if (channel == nullptr || !channel->socket_.open()) return nullptr;
  channel->CloseSocket();
  channel->ScheduleLater();
  return nullptr;
}

napi_value Channel::RefFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Channel* const channel = Of(env, call.self);
  if (channel == nullptr || !channel->open_) return nullptr;
  ++channel->references_;
  channel->addon_.poller().Ref();
  return nullptr;
}

napi_value Channel::UnrefFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Channel* const channel = Of(env, call.self);
  if (channel == nullptr || channel->references_ == 0) return nullptr;
  --channel->references_;
  channel->addon_.poller().Unref();
  return nullptr;
}

}  // namespace caisson::binding
