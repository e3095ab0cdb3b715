// zone: loop
#pragma once

#include <node_api.h>

#include <vector>

#include "binding/poller.h"

namespace caisson::binding {

class Addon;

// Something that must be given up when its env goes: it frees what the kernel holds and touches no
// JavaScript. Newest first.
class Resource {
 public:
  Resource(const Resource&) = delete;
  Resource& operator=(const Resource&) = delete;

 protected:
  Resource() noexcept = default;
  ~Resource() { Unlist(); }
  void List(Addon& addon) noexcept;
  void Unlist() noexcept;
  virtual void Abandon() noexcept = 0;

 private:
  friend class Addon;
  Resource* next_ = nullptr;
  Resource** link_ = nullptr;
};

// The state of one env: the main thread and each worker have their own; there are no globals.
class Addon {
 public:
  [[nodiscard]] static Addon* Of(napi_env env) noexcept;
  // Makes it and registers its end. Null when the env cannot be used.
  [[nodiscard]] static Addon* Make(napi_env env) noexcept;

  // The poller, opened with the first thing that needs it: importing costs nothing. 0 or an errno.
  [[nodiscard]] int Ready() noexcept;
  [[nodiscard]] Poller& poller() noexcept { return poller_; }
  [[nodiscard]] napi_env env() const noexcept { return env_; }
  // A descriptor that JavaScript has as a number, and closes through us: the env's end closes it
  // too, as a worker may be terminated while it is about to pass it on.
  void Hold(int fd) noexcept { held_.push_back(fd); }
  void Drop(int fd) noexcept;
  [[nodiscard]] napi_async_context context() const noexcept { return context_; }

 private:
  friend class Resource;
  explicit Addon(napi_env env) noexcept : env_(env) {}
  ~Addon() = default;
  static void OnTurn(void* self) noexcept;
  void End() noexcept;

  napi_env env_;
  Poller poller_;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle end_ = nullptr;
  Resource* resources_ = nullptr;
  std::vector<int> held_;
  bool ending_ = false;
};

}  // namespace caisson::binding
