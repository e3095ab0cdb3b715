// zone: loop
#include "binding/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>

#include <atomic>
#include <new>
#include <utility>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "binding/addon.h"
#include "binding/js.h"
#include "binding/thread.h"

namespace caisson::binding {

namespace {

// Marks our lock objects: a method called on anything else is a TypeError.
constexpr napi_type_tag kLockTag = {0x6a1d0f5be09c4c01, 0x9d3b52a84f77e210};

// What the waiting thread and the loop share; the last of the two frees it. A lock that comes when
// nobody waits for it any more is given back by that.
struct Attempt {
  std::atomic<int> owners{2};
  char* path = nullptr;
  int operation = 0;
  UniqueFd done;  // eventfd
  UniqueFd file;
  const char* failed = nullptr;
  int error = 0;

  Attempt() noexcept = default;
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  void Release() noexcept {
    if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  ~Attempt() { free(path); }
};

void RunAttempt(void* argument) {
  auto* const attempt = static_cast<Attempt*>(argument);
  UniqueFd file(RetryEintr(
      [&] { return open(attempt->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600); }));
  // A folder is locked as it is: the run folder of a runtime, by those who look whether it lives.
  if (!file && errno == EISDIR) {
    file.reset(RetryEintr(
        [&] { return open(attempt->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOCTTY); }));
  }
  if (!file) {
    attempt->error = errno;
    attempt->failed = "open";
  } else if (RetryEintr([&] { return flock(file.get(), attempt->operation); }) != 0) {
    attempt->error = errno;
    attempt->failed = "flock";
  } else {
    attempt->file = std::move(file);
  }
  const uint64_t one = 1;
  (void)!write(attempt->done.get(), &one, sizeof one);
  attempt->Release();
}

struct Held {
  UniqueFd file;
};

napi_value ReleaseLock(napi_env env, napi_callback_info info) {
  Call<0> call;
  if (!call.Read(env, info)) return nullptr;
  bool ours = false;
  void* held = nullptr;
  if (TypeOf(env, call.self) != napi_object ||
      napi_check_object_type_tag(env, call.self, &kLockTag, &ours) != napi_ok || !ours ||
      napi_unwrap(env, call.self, &held) != napi_ok) {
    ThrowTypeError(env, "release must be called on a lock");
    return nullptr;
  }
  UniqueFd& file = static_cast<Held*>(held)->file;
  // A forked sibling may hold a copy of the descriptor, so closing alone might not let go.
  if (file) (void)flock(file.get(), LOCK_UN);
  file.reset();
  return nullptr;
}

napi_value NewLock(napi_env env, UniqueFd file) noexcept {
  napi_value lock = nullptr;
  napi_value release = NewFunction(env, "release", 0, ReleaseLock);
  auto* const held = new (std::nothrow) Held{std::move(file)};
  if (held == nullptr || release == nullptr || napi_create_object(env, &lock) != napi_ok ||
      napi_wrap(
          env, lock, held, [](napi_env, void* gone, void*) { delete static_cast<Held*>(gone); },
          nullptr, nullptr) != napi_ok) {
    delete held;
    return nullptr;
  }
  const bool made = napi_type_tag_object(env, lock, &kLockTag) == napi_ok &&
                    napi_set_named_property(env, lock, "release", release) == napi_ok;
  return made ? lock : nullptr;
}

// The loop's side of an attempt, until its promise is settled.
class Pending final : public Resource {
 public:
  // Takes one share of the attempt unless it fails with null and an errno.
  [[nodiscard]] static Pending* Start(Addon& addon, Attempt* attempt, napi_deferred deferred,
                                      int* error) noexcept {
    auto* const pending = new (std::nothrow) Pending(addon, attempt, deferred);
    if (pending == nullptr) {
      *error = ENOMEM;
      return nullptr;
    }
    *error = pending->watch_.Start<&Pending::OnDone>(addon.poller(), attempt->done.get(), EPOLLIN,
                                                     pending);
    if (*error != 0) {
      delete pending;
      return nullptr;
    }
    pending->List(addon);
    addon.poller().Ref();
    return pending;
  }

  void Abandon() noexcept override {
    watch_.Stop();
    addon_.poller().Unref();
    attempt_->Release();
    delete this;
  }

 private:
  Pending(Addon& addon, Attempt* attempt, napi_deferred deferred) noexcept
      : addon_(addon), attempt_(attempt), deferred_(deferred) {}
  ~Pending() = default;

  void OnDone(uint32_t) noexcept {
    napi_env const env = addon_.env();
    // Promise reactions run when the callback scope closes, as after any callback.
    napi_value resource = nullptr;
    napi_callback_scope scope = nullptr;
    if (napi_create_object(env, &resource) == napi_ok &&
        napi_open_callback_scope(env, resource, addon_.context(), &scope) == napi_ok) {
      napi_deferred const deferred = deferred_;
      const int error = attempt_->error;
      if (attempt_->file) {
        napi_value const lock = NewLock(env, std::move(attempt_->file));
        if (lock != nullptr) (void)napi_resolve_deferred(env, deferred, lock);
      } else if (error == EWOULDBLOCK && (attempt_->operation & LOCK_NB) != 0) {
        (void)napi_resolve_deferred(env, deferred, Null(env));
      } else {
        napi_value const reason = MakeErrno(env, error, attempt_->failed, attempt_->path);
        if (reason != nullptr) (void)napi_reject_deferred(env, deferred, reason);
      }
      Abandon();
      (void)napi_close_callback_scope(env, scope);
    } else {
      Abandon();
    }
  }

  Addon& addon_;
  Attempt* attempt_;
  napi_deferred deferred_;
  Watch watch_;
};

}  // namespace

napi_value Lock(napi_env env, napi_callback_info info) {
  Call<3> call;
  Text path;
  Text mode;
  bool wait = false;
  if (!call.Read(env, info) || !ReadText(env, call.args[0], "path", &path) ||
      !ReadText(env, call.args[1], "mode", &mode)) {
    return nullptr;
  }
  const bool shared = strcmp(mode.get(), "shared") == 0;
  if (!shared && strcmp(mode.get(), "exclusive") != 0) {
    ThrowTypeError(env, "mode must be 'shared' or 'exclusive'");
    return nullptr;
  }
  if (napi_get_value_bool(env, call.args[2], &wait) != napi_ok) {
    ThrowTypeError(env, "wait must be a boolean");
    return nullptr;
  }
  Addon* const addon = Addon::Of(env);
  int error = addon == nullptr ? ECANCELED : addon->Ready();
  auto* const attempt = error == 0 ? new (std::nothrow) Attempt : nullptr;
  if (error == 0 && attempt == nullptr) error = ENOMEM;
  if (error != 0) {
    ThrowErrno(env, error, "flock", path.get());
    return nullptr;
  }
  attempt->path = strdup(path.get());
  attempt->operation = (shared ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB);
  attempt->done.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!attempt->done) error = errno;

  napi_value promise = nullptr;
  napi_deferred deferred = nullptr;
  if (error == 0 && napi_create_promise(env, &deferred, &promise) != napi_ok) error = ECANCELED;
  Pending* pending = nullptr;
  if (error == 0) pending = Pending::Start(*addon, attempt, deferred, &error);
  if (pending == nullptr) attempt->Release();
  if (error == 0) {
    error = StartThread(RunAttempt, attempt);
    if (error != 0) pending->Abandon();
  }
  if (error == 0) return promise;

  attempt->Release();
  if (deferred != nullptr) (void)napi_resolve_deferred(env, deferred, Undefined(env));
  ThrowErrno(env, error, "flock", path.get());
  return nullptr;
}

}  // namespace caisson::binding
