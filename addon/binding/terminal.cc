// zone: loop
#include "binding/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "base/retry_eintr.h"

namespace caisson::binding {

namespace {

constexpr napi_type_tag kTerminalTag = {0x6b1d0f92a7c34e58, 0x93e4d5b8216c7fa0};

// More than a pseudo-terminal holds (12 KiB): what comes after it was written after the end.
constexpr size_t kMostAtEnd = 64 * 1024;

napi_value NewNumber(napi_env env, int64_t value) noexcept {
  napi_value number = nullptr;
  return napi_create_int64(env, value, &number) == napi_ok ? number : nullptr;
}

}  // namespace

Terminal::~Terminal() {
  Close();
}

napi_value Terminal::Define(napi_env env) noexcept {
  constexpr Method kMethods[] = {
      {"resume", ResumeFrom, 0}, {"pause", PauseFrom, 0},   {"write", WriteFrom, 1},
      {"eof", EofFrom, 1},       {"resize", ResizeFrom, 2}, {"finish", FinishFrom, 0},
      {"close", CloseFrom, 0},
  };
  return DefineClass(env, {"Terminal", New, 3}, kMethods);
}

Terminal* Terminal::Of(napi_env env, napi_value self) noexcept {
  bool ours = false;
  void* terminal = nullptr;
  if (TypeOf(env, self) == napi_object &&
      napi_check_object_type_tag(env, self, &kTerminalTag, &ours) == napi_ok && ours &&
      napi_unwrap(env, self, &terminal) == napi_ok) {
    return static_cast<Terminal*>(terminal);
  }
  ThrowTypeError(env, "this must be a Terminal");
  return nullptr;
}

napi_value Terminal::New(napi_env env, napi_callback_info info) {
  Call<3> call;
  napi_value target = nullptr;
  int fd = -1;
  if (!call.Read(env, info) || napi_get_new_target(env, info, &target) != napi_ok) return nullptr;
  if (target == nullptr) {
    ThrowTypeError(env, "Terminal must be called with new");
    return nullptr;
  }
  if (!ReadFd(env, call.args[0], "fd", &fd) || !ReadFunction(env, call.args[1], "onData") ||
      !ReadFunction(env, call.args[2], "onDrain")) {
    return nullptr;
  }
  Addon* const addon = Addon::Of(env);
  if (const int error = addon == nullptr ? ECANCELED : addon->Ready(); error != 0) {
    ThrowErrno(env, error, "epoll_create1");
    return nullptr;
  }
  UniqueFd master(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!master) {
    ThrowErrno(env, errno, "fcntl");
    return nullptr;
  }
  auto* const terminal = new (std::nothrow) Terminal(*addon);
  if (terminal == nullptr ||
      napi_wrap(
          env, call.self, terminal,
          [](napi_env, void* gone, void*) { delete static_cast<Terminal*>(gone); }, nullptr,
          nullptr) != napi_ok) {
    delete terminal;
    ThrowErrno(env, ENOMEM, "napi_wrap");
    return nullptr;
  }
  if (napi_type_tag_object(env, call.self, &kTerminalTag) != napi_ok ||
      napi_create_reference(env, call.self, 1, &terminal->self_) != napi_ok ||
      napi_create_reference(env, call.args[1], 1, &terminal->on_data_) != napi_ok ||
      napi_create_reference(env, call.args[2], 1, &terminal->on_drain_) != napi_ok) {
    return nullptr;
  }
  terminal->master_ = std::move(master);
  terminal->List(*addon);
  return call.self;
}

napi_value Terminal::ResumeFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal == nullptr || !terminal->master_) return nullptr;
  terminal->reading_ = true;
  terminal->UpdateWatch();
  return nullptr;
}

napi_value Terminal::PauseFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal == nullptr) return nullptr;
  terminal->reading_ = false;
  terminal->UpdateWatch();
  return nullptr;
}

napi_value Terminal::WriteFrom(napi_env env, napi_callback_info info) {
  Call<1> call;
  Bytes bytes;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal == nullptr || !ReadBytes(env, call.args[0], "bytes", &bytes)) return nullptr;
  size_t taken = 0;
  while (taken < bytes.size()) {
    const ssize_t wrote = RetryEintr(
        [&] { return write(terminal->master_.get(), bytes.data() + taken, bytes.size() - taken); });
    if (wrote < 0 && errno == EAGAIN) break;
    // It is closed, here or there: like a keyboard that nobody listens to.
    taken = wrote < 0 ? bytes.size() : taken + static_cast<size_t>(wrote);
  }
  terminal->writing_ = taken < bytes.size();
  terminal->UpdateWatch();
  return NewNumber(env, static_cast<int64_t>(taken));
}

napi_value Terminal::EofFrom(napi_env env, napi_callback_info info) {
  Call<1> call;
  int64_t last = 0;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal == nullptr || !ReadInteger(env, call.args[0], -1, UINT8_MAX, "last", &last)) {
    return nullptr;
  }
  // Asked of the master, the kernel tells the settings of the other end.
  termios settings = {};
  const bool known = tcgetattr(terminal->master_.get(), &settings) == 0;
  const cc_t key = settings.c_cc[VEOF];
  size_t count = 0;
  if (known && key != _POSIX_VDISABLE) {
    // Within a line it hands over what there is of it, and the next one is the end.
    const bool within = last != -1 && last != '\n' && last != '\r' && last != key;
    count = within && (settings.c_lflag & ICANON) != 0 ? 2 : 1;
  }
  const uint8_t keys[2] = {key, key};
  return NewBuffer(env, keys, count);
}

napi_value Terminal::ResizeFrom(napi_env env, napi_callback_info info) {
  Call<2> call;
  int64_t columns = 0;
  int64_t rows = 0;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal == nullptr || !ReadInteger(env, call.args[0], 0, UINT16_MAX, "columns", &columns) ||
      !ReadInteger(env, call.args[1], 0, UINT16_MAX, "rows", &rows)) {
    return nullptr;
  }
  winsize size = {};
  size.ws_col = static_cast<uint16_t>(columns);
  size.ws_row = static_cast<uint16_t>(rows);
  (void)ioctl(terminal->master_.get(), TIOCSWINSZ, &size);  // EBADF: it has ended
  return nullptr;
}

napi_value Terminal::FinishFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal == nullptr) return nullptr;
  size_t got = 0;
  uint8_t* const scratch = terminal->addon_.poller().scratch();
  static_assert(kMostAtEnd <= Poller::kScratchBytes);
  (void)terminal->ReadInto(scratch, kMostAtEnd, &got);
  terminal->Close();
  return NewBuffer(env, scratch, got);
}

napi_value Terminal::CloseFrom(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  Terminal* const terminal = Of(env, call.self);
  if (terminal != nullptr) terminal->Close();
  return nullptr;
}

Terminal::Read Terminal::ReadInto(uint8_t* to, size_t room, size_t* got) noexcept {
  // The kernel hands out no more than 4 KiB at once.
  while (*got < room) {
    const ssize_t bytes = RetryEintr([&] { return read(master_.get(), to + *got, room - *got); });
    if (bytes < 0 && errno == EAGAIN) return Read::kDry;
    if (bytes <= 0) return Read::kEnded;  // EIO
    *got += static_cast<size_t>(bytes);
  }
  return Read::kFull;
}

void Terminal::OnReady(uint32_t events) noexcept {
  // Held for this turn, whatever the program makes of it meanwhile.
  napi_value self = nullptr;
  if (napi_get_reference_value(env_, self_, &self) != napi_ok) return;
  if (writing_ && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
    writing_ = false;
    UpdateWatch();
    CallJs(self, on_drain_, 0, nullptr);
  }
  // What was called may have paused or closed it.
  if (!reading_ || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  size_t got = 0;
  uint8_t* const scratch = addon_.poller().scratch();
  const Read read = ReadInto(scratch, kMostAtEnd, &got);
  if (read == Read::kEnded) {
    reading_ = false;
    UpdateWatch();
  }
  if (got > 0) {
    napi_value const bytes = NewBuffer(env_, scratch, got);
    CallJs(self, on_data_, 1, &bytes);
  }
  if (read == Read::kEnded) {
    napi_value const end = Null(env_);
    CallJs(self, on_data_, 1, &end);
  }
}

// The program lives on while it waits for something of its own: to read more, or to write.
void Terminal::UpdateWatch() noexcept {
  const uint32_t events = (reading_ ? EPOLLIN : 0u) | (writing_ ? EPOLLOUT : 0u);
  if (events == 0 || !master_) {
    if (!watch_.active()) return;
    watch_.Stop();
    addon_.poller().Unref();
  } else if (watch_.active()) {
    watch_.Change(events);
  } else if (watch_.Start<&Terminal::OnReady>(addon_.poller(), master_.get(), events, this) == 0) {
    addon_.poller().Ref();
  }
}

void Terminal::CallJs(napi_value self, napi_ref function, size_t count,
                      const napi_value* args) noexcept {
  napi_value called = nullptr;
  if (function == nullptr || napi_get_reference_value(env_, function, &called) != napi_ok) return;
  CallBack(env_, addon_.context(), self, called, count, args);
}

void Terminal::Close() noexcept {
  reading_ = writing_ = false;
  UpdateWatch();
  master_.reset();
  Unlist();
  for (napi_ref* reference : {&on_data_, &on_drain_, &self_}) {
    if (*reference != nullptr)
      (void)napi_delete_reference(env_, std::exchange(*reference, nullptr));
  }
}

void Terminal::Abandon() noexcept {
  Close();
}

}  // namespace caisson::binding
