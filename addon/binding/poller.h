// zone: loop
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/unique_fd.h"
#include "binding/uv.h"

namespace caisson::binding {

class Poller;

// One descriptor watched by the poller, level-triggered. Lives inside its owner; stopping (or
// destroying) it inside any handler is allowed, the handler is then not called again.
// Stop before the descriptor is closed: a forked sibling may hold a copy, and epoll would go on
// reporting it.
class Watch {
 public:
  Watch() noexcept = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { Stop(); }

  // Calls `(owner->*Method)(events)` when `fd` is ready. 0 or an errno.
  template <auto Method, typename Owner>
  [[nodiscard]] int Start(Poller& poller, int fd, uint32_t events, Owner* owner) noexcept {
    handler_ = [](void* self, uint32_t ready) { (static_cast<Owner*>(self)->*Method)(ready); };
    owner_ = owner;
    return StartHandler(poller, fd, events);
  }
  void Change(uint32_t events) noexcept;
  void Stop() noexcept;
  [[nodiscard]] bool active() const noexcept { return poller_ != nullptr; }

 private:
  friend class Poller;
  [[nodiscard]] int StartHandler(Poller& poller, int fd, uint32_t events) noexcept;

  Poller* poller_ = nullptr;
  void (*handler_)(void*, uint32_t) = nullptr;
  void* owner_ = nullptr;
  int fd_ = -1;
  uint32_t events_ = 0;
};

// Something to be done on a later turn of the loop, so that no callback runs inside a call.
class Later {
 public:
  Later() noexcept = default;
  Later(const Later&) = delete;
  Later& operator=(const Later&) = delete;
  ~Later() { Cancel(); }

  template <auto Method, typename Owner>
  void Schedule(Poller& poller, Owner* owner) noexcept {
    handler_ = [](void* self) { (static_cast<Owner*>(self)->*Method)(); };
    owner_ = owner;
    Enqueue(poller);
  }
  void Cancel() noexcept;

 private:
  friend class Poller;
  void Enqueue(Poller& poller) noexcept;

  Later* next_ = nullptr;
  Later** link_ = nullptr;
  void (*handler_)(void*) = nullptr;
  void* owner_ = nullptr;
};

// Everything an env waits for, behind one uv handle: an epoll instance of our own that libuv polls.
// A run needs two or three descriptors for a few milliseconds; one uv_poll each would cost twice
// the system calls and an asynchronous uv_close each.
//
// A turn does what is ready until about half a millisecond is over and leaves the rest for the next
// one, where it comes first: the program's loop is never held by the amount of what is ready.
class Poller {
 public:
  Poller() noexcept = default;
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  ~Poller() = default;

  // 0 or an errno. `turn` brackets the handlers of one turn (a handle scope of the binding's).
  [[nodiscard]] int Open(uv_loop_s* loop, void (*turn)(void* owner), void* owner) noexcept;
  [[nodiscard]] bool open() const noexcept { return handle_ != nullptr; }
  void Dispatch() noexcept;

  // The loop stays alive while somebody holds a reference.
  void Ref() noexcept;
  void Unref() noexcept;

  // Calls `closed(owner)` when libuv has let go; nothing may be watched any more.
  void Close(void (*closed)(void* owner)) noexcept;

  // Shared by everything that reads on this loop, for the length of one read.
  static constexpr size_t kScratchBytes = 64 * 1024 + 64;
  [[nodiscard]] uint8_t* scratch() noexcept { return scratch_; }

 private:
  friend class Watch;
  friend class Later;
  static constexpr int kBatch = 64;

  void RunLater() noexcept;
  void Forget(const Watch* watch) noexcept;

  UniqueFd epoll_;
  UniqueFd wake_;
  Later* later_ = nullptr;
  uv_poll_s* handle_ = nullptr;
  uint8_t* scratch_ = nullptr;
  void (*turn_)(void*) = nullptr;
  void (*closed_)(void*) = nullptr;
  void* owner_ = nullptr;
  uint32_t references_ = 0;
  epoll_event batch_[kBatch] = {};
  int next_ = 0;
  int count_ = 0;
};

}  // namespace caisson::binding
