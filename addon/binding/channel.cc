// zone: loop
#include "binding/channel.h"

#include <errno.h>

#include <utility>

#include "plan/protocol.h"

namespace caisson::binding {

using protocol::Type;

Channel::~Channel() {
  Abandon();
}

int Channel::Start(Spawned spawned, napi_value on_message, napi_value on_close) noexcept {
  open_ = true;
  pidfd_ = std::move(spawned.pidfd);
  socket_.Open(std::move(spawned.channel));
  List(addon_);
  Poller& poller = addon_.poller();
  int error = watch_socket_.Start<&Channel::OnSocket>(poller, socket_.fd(), EPOLLIN, this);
  if (error == 0) {
    error = watch_pidfd_.Start<&Channel::OnPidfd>(poller, pidfd_.get(), EPOLLIN, this);
  }
  if (error == 0 && (napi_create_reference(env_, on_message, 1, &on_message_) != napi_ok ||
                     napi_create_reference(env_, on_close, 1, &on_close_) != napi_ok ||
                     napi_reference_ref(env_, self_, nullptr) != napi_ok)) {
    error = ECANCELED;
  }
  return error;
}

int Channel::Post(const protocol::Header& header, Bytes body, Descriptors fds) noexcept {
  const int error = socket_.Send(header, body, std::move(fds));
  WatchSocket();
  return error;
}

SystemError Channel::StartCollect(const CollectRequest& request) noexcept {
  auto* const collect = new (std::nothrow) Collect(env_, addon_.poller(), *this, request.header.id);
  if (collect == nullptr) return {ENOMEM, "malloc"};

  Descriptors fds;
  Pipe in;
  Pipe out;
  Pipe err;
  const char* call = "pipe2";
  int error = MakePipe(Direction::kFromChild, 0, &out);
  if (error == 0) error = MakePipe(Direction::kFromChild, 0, &err);
  if (error == 0 && request.input != nullptr) error = MakePipe(Direction::kToChild, 0, &in);
  if (error == 0 && !collect->Keep(request.done, request.input)) error = ECANCELED;
  if (error == 0) {
    bool fits = true;
    if (request.input != nullptr) {
      collect->TakeInput(std::move(in.local), request.input_bytes);
      fits = fds.Own(std::move(in.remote));
    } else if (request.input_fd >= 0) {
      fits = fds.Lend(request.input_fd);
    }
    fits = fits && fds.Own(std::move(out.remote)) && fds.Own(std::move(err.remote));
    collect->TakeOutputs(std::move(out.local), std::move(err.local), request.limit);
    call = "sendmsg";
    error = fits ? Post(request.header, request.body, std::move(fds)) : EMFILE;
  }
  if (error == 0) {
    call = "epoll_ctl";
    error = collect->Start();
  }
  if (error != 0) {
    delete collect;
    return {error, call};
  }
  collects_.insert(collects_.begin() + static_cast<ptrdiff_t>(PositionOf(collect->id())), collect);
  if (!socket_.open()) ScheduleLater();
  return {};
}

// ---- from the loop ---------------------------------------------------------------------------

void Channel::OnSocket(uint32_t events) noexcept {
  constexpr int kMessagesAtOnce = 16;
  if ((events & EPOLLOUT) != 0) {
    socket_.Flush();
    WatchSocket();
  }
  if ((events & ~uint32_t{EPOLLOUT}) == 0) return;
  for (int i = 0; i < kMessagesAtOnce && ReadOne(); ++i) {
  }
}

void Channel::OnPidfd(uint32_t) noexcept {
  const ExitStatus status = Reap(pidfd_.get());
  if (status.kind == ExitStatus::Kind::kRunning) return;
  watch_pidfd_.Stop();
  // What it said last still counts. Whoever else holds its end of the channel open (a sibling that
  // was forked meanwhile, a supervisor whose bootstrap was killed) is not waited for: without the
  // process outside nobody would tidy up after it, and it ends with our end.
  while (ReadOne()) {
  }
  CloseSocket();
  LoseAll();
  End(status);
}

// Reads and delivers one message; false when there is none, or no more to come.
bool Channel::ReadOne() noexcept {
  if (!socket_.open()) return false;
  Incoming message;
  switch (socket_.Receive(addon_.poller().scratch(), &message)) {
    case Receipt::kMessage:
      if (Deliver(message)) return true;
      break;
    case Receipt::kNothing:
      return false;
    case Receipt::kEnd:
    case Receipt::kMalformed:
      break;
  }
  CloseSocket();
  LoseAll();
  return false;
}

// False when the message turns out to be malformed.
bool Channel::Deliver(Incoming& message) noexcept {
  const HandleScope scope(env_);
  if (!scope.ok()) return true;

  napi_value body = nullptr;
  if (message.memfd) {
    void* data = nullptr;
    if (napi_create_buffer(env_, message.memfd_bytes, &data, &body) != napi_ok) return true;
    if (!ReadBody(message.memfd.get(), static_cast<uint8_t*>(data), message.memfd_bytes)) {
      return false;
    }
    message.body = Bytes(static_cast<uint8_t*>(data), message.memfd_bytes);
  }

  const auto type = static_cast<Type>(message.type);
  if (Collect* const collect = Collecting(message.id);
      collect != nullptr && (type == Type::kExited || type == Type::kFailed)) {
    collect->Reply(message.type, message.body);
    if (collect->complete()) Complete(*collect);
    return true;
  }

  if (body == nullptr) body = NewBuffer(env_, message.body.data(), message.body.size());
  napi_value on_message = nullptr;
  napi_value args[4] = {nullptr, nullptr, body, nullptr};
  if (napi_get_reference_value(env_, on_message_, &on_message) != napi_ok ||
      napi_create_uint32(env_, message.type, &args[0]) != napi_ok ||
      napi_create_uint32(env_, message.id, &args[1]) != napi_ok ||
      napi_create_array_with_length(env_, message.fds.size(), &args[3]) != napi_ok) {
    return true;
  }
  for (uint32_t i = 0; i < message.fds.size(); ++i) {
    napi_value fd = nullptr;
    if (napi_create_int32(env_, message.fds.data()[i], &fd) != napi_ok ||
        napi_set_element(env_, args[3], i, fd) != napi_ok) {
      return true;
    }
  }
  // They are closed with the message, here: a worker that is terminated in the middle of its
  // callback runs no `finally`.
  CallJs(on_message, 4, args);
  return true;
}

void Channel::Complete(Collect& collect) noexcept {
  Forget(collect.id());
  collect.Finish();
}

void Channel::ScheduleLater() noexcept {
  if (!later_holds_) later_holds_ = napi_reference_ref(env_, self_, nullptr) == napi_ok;
  later_.Schedule<&Channel::OnLater>(addon_.poller(), this);
}

// Calls the program back about what it brought about itself: close() and abandon().
void Channel::OnLater() noexcept {
  if (!socket_.open()) {
    LoseAll();
  } else {
    std::vector<uint32_t> complete;
    for (const Collect* collect : collects_) {
      if (collect->complete()) complete.push_back(collect->id());
    }
    for (const uint32_t id : complete) {
      if (Collect* const collect = Collecting(id); collect != nullptr) Complete(*collect);
    }
  }
  if (std::exchange(later_holds_, false)) (void)napi_reference_unref(env_, self_, nullptr);
}

void Channel::CallJs(napi_value function, size_t count, const napi_value* args) noexcept {
  napi_value self = nullptr;
  if (napi_get_reference_value(env_, self_, &self) != napi_ok) return;
  CallBack(env_, addon_.context(), self, function, count, args);
}

// ---- the end ---------------------------------------------------------------------------------

void Channel::CloseSocket() noexcept {
  watch_socket_.Stop();
  socket_.Close();
}

// The channel has ended: nothing that is in flight will be answered. What the callbacks begin
// meanwhile is lost on a turn of its own.
void Channel::LoseAll() noexcept {
  std::vector<Collect*> lost;
  lost.swap(collects_);
  for (Collect* const collect : lost) {
    collect->Reply(0, {});
    collect->Finish();
  }
}

void Channel::End(ExitStatus status) noexcept {
  open_ = false;
  pidfd_.reset();
  Unlist();
  for (; references_ > 0; --references_) addon_.poller().Unref();

  using Kind = ExitStatus::Kind;
  const HandleScope scope(env_);
  napi_value on_close = nullptr;
  napi_value result = nullptr;
  napi_value exit_code = Null(env_);
  napi_value signal = Null(env_);
  if (status.kind == Kind::kExited) (void)napi_create_int32(env_, status.value, &exit_code);
  if (status.kind == Kind::kSignaled) (void)napi_create_int32(env_, status.value, &signal);
  if (scope.ok() && napi_get_reference_value(env_, on_close_, &on_close) == napi_ok &&
      napi_create_object(env_, &result) == napi_ok &&
      napi_set_named_property(env_, result, "exitCode", exit_code) == napi_ok &&
      napi_set_named_property(env_, result, "signal", signal) == napi_ok) {
    CallJs(on_close, 1, &result);
  }
  for (napi_ref* reference : {&on_message_, &on_close_}) {
    (void)napi_delete_reference(env_, std::exchange(*reference, nullptr));
  }
  // From here on the JavaScript object lives as long as the program holds it.
  (void)napi_reference_unref(env_, self_, nullptr);
}

// The env goes, or the constructor failed half-way.
void Channel::Abandon() noexcept {
  later_.Cancel();
  watch_pidfd_.Stop();
  CloseSocket();
  for (const Collect* collect : collects_) delete collect;
  collects_.clear();
  for (napi_ref* reference : {&on_message_, &on_close_}) {
    if (*reference != nullptr) {
      (void)napi_delete_reference(env_, std::exchange(*reference, nullptr));
    }
  }
  Unlist();
  if (std::exchange(open_, false)) ReapInBackground(std::move(pidfd_));
}

// ---- small parts -----------------------------------------------------------------------------

void Channel::WatchSocket() noexcept {
  watch_socket_.Change(socket_.waiting() ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

size_t Channel::PositionOf(uint32_t id) const noexcept {
  // Ids grow, so the place is nearly always the end or one found in a few steps.
  size_t low = 0;
  size_t high = collects_.size();
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (collects_[middle]->id() < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Collect* Channel::Collecting(uint32_t id) const noexcept {
  const size_t at = PositionOf(id);
  return at < collects_.size() && collects_[at]->id() == id ? collects_[at] : nullptr;
}

void Channel::Forget(uint32_t id) noexcept {
  collects_.erase(collects_.begin() + static_cast<ptrdiff_t>(PositionOf(id)));
}

}  // namespace caisson::binding
