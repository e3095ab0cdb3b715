// zone: loop
#include "binding/poller.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

namespace caisson::binding {

namespace {

constexpr int64_t kTurnNs = 500'000;

int64_t NowNs() noexcept {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

uv_handle_s* Handle(uv_poll_s* poll) noexcept {
  return reinterpret_cast<uv_handle_s*>(poll);
}

}  // namespace

int Watch::StartHandler(Poller& poller, int fd, uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.ptr = this;
  if (epoll_ctl(poller.epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  poller_ = &poller;
  fd_ = fd;
  events_ = events;
  return 0;
}

void Watch::Change(uint32_t events) noexcept {
  if (poller_ == nullptr || events == events_) return;
  epoll_event event{};
  event.events = events;
  event.data.ptr = this;
  // Cannot fail: the descriptor is registered and needs no memory.
  (void)epoll_ctl(poller_->epoll_.get(), EPOLL_CTL_MOD, fd_, &event);
  events_ = events;
}

void Watch::Stop() noexcept {
  if (poller_ == nullptr) return;
  (void)epoll_ctl(poller_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  poller_->Forget(this);
  poller_ = nullptr;
}

void Later::Enqueue(Poller& poller) noexcept {
  if (link_ != nullptr) return;
  next_ = poller.later_;
  link_ = &poller.later_;
  if (next_ != nullptr) next_->link_ = &next_;
  poller.later_ = this;
  const uint64_t one = 1;
  (void)!write(poller.wake_.get(), &one, sizeof one);  // full is as good: it wakes
}

void Later::Cancel() noexcept {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
}

int Poller::Open(uv_loop_s* loop, void (*turn)(void*), void* owner) noexcept {
  turn_ = turn;
  owner_ = owner;
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !wake_) return errno;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // the wake-up
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) return errno;

  scratch_ = static_cast<uint8_t*>(malloc(kScratchBytes));
  auto* handle = static_cast<uv_poll_s*>(calloc(1, uv_handle_size(kUvPollType)));
  int error = scratch_ == nullptr || handle == nullptr ? ENOMEM : 0;
  if (error == 0) error = -uv_poll_init(loop, handle, epoll_.get());
  if (error != 0) {
    free(handle);
    free(scratch_);
    scratch_ = nullptr;
    return error;
  }
  handle_ = handle;
  uv_handle_set_data(Handle(handle_), this);
  (void)uv_poll_start(handle_, kUvReadable, [](uv_poll_s* poll, int, int) {
    auto* self = static_cast<Poller*>(uv_handle_get_data(Handle(poll)));
    self->turn_(self->owner_);
  });
  uv_unref(Handle(handle_));
  return 0;
}

void Poller::Dispatch() noexcept {
  const int64_t until = NowNs() + kTurnNs;
  if (next_ == count_) {
    next_ = 0;
    count_ = epoll_wait(epoll_.get(), batch_, kBatch, 0);
    if (count_ < 0) count_ = 0;
  }
  while (next_ < count_) {
    const epoll_event event = batch_[next_++];
    auto* watch = static_cast<Watch*>(event.data.ptr);
    if (watch == nullptr) {
      if (event.events != 0) RunLater();
    } else {
      watch->handler_(watch->owner_, event.events);
    }
    if (NowNs() >= until) return;
  }
}

void Poller::RunLater() noexcept {
  uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof count);
  // What is scheduled meanwhile waits for the next turn.
  Later* batch = later_;
  later_ = nullptr;
  if (batch != nullptr) batch->link_ = &batch;
  while (batch != nullptr) {
    Later* const one = batch;
    one->Cancel();
    one->handler_(one->owner_);
  }
}

void Poller::Ref() noexcept {
  if (references_++ == 0) uv_ref(Handle(handle_));
}

void Poller::Unref() noexcept {
  if (--references_ == 0) uv_unref(Handle(handle_));
}

void Poller::Close(void (*closed)(void*)) noexcept {
  closed_ = closed;
  (void)uv_poll_stop(handle_);
  // libuv may still hold the descriptor until the close callback has run.
  uv_close(Handle(handle_), [](uv_handle_s* handle) {
    auto* self = static_cast<Poller*>(uv_handle_get_data(handle));
    self->epoll_.reset();
    self->wake_.reset();
    free(self->scratch_);
    free(handle);
    self->handle_ = nullptr;
    self->closed_(self->owner_);
  });
}

void Poller::Forget(const Watch* watch) noexcept {
  for (int i = next_; i < count_; ++i) {
    if (batch_[i].data.ptr == watch) {
      batch_[i].data.ptr = nullptr;
      batch_[i].events = 0;
    }
  }
}

}  // namespace caisson::binding
