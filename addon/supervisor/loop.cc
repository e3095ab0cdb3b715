// zone: native
#include "supervisor/loop.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/retry_eintr.h"

namespace caisson {

namespace {

constexpr uint64_t kNsPerMs = 1000000;
constexpr uint64_t kNsPerSecond = 1000000000;

uint64_t Now(clockid_t clock) {
  timespec now = {};
  (void)clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

uint64_t MonotonicNs() {
  return Now(CLOCK_MONOTONIC);
}
uint64_t RealtimeNs() {
  return Now(CLOCK_REALTIME);
}

Result<> Loop::Open() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  timer_fd_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_ || !timer_fd_) return FailErrno(Step::kHands);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = 0;  // no token: the timer
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_fd_.get(), &event) != 0) {
    return FailErrno(Step::kHands);
  }
  return {};
}

Loop::Token Loop::Watch(int fd, uint32_t events, Ready ready) {
  const Token token = next_++;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) abort();
  watched_.emplace(token, Watched{fd, std::move(ready)});
  return token;
}

void Loop::Change(Token token, uint32_t events) {
  const auto found = watched_.find(token);
  if (found == watched_.end()) return;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = token;
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, found->second.fd, &event);  // It is there.
}

void Loop::Forget(Token* token) {
  const auto found = watched_.find(*token);
  *token = 0;
  if (found == watched_.end()) return;
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);  // It is there.
  watched_.erase(found);
}

Loop::Timer Loop::After(uint64_t ms, std::function<void()> run) {
  // A deadline that does not fit is one that never comes.
  const uint64_t now = MonotonicNs();
  const uint64_t most = (UINT64_MAX / 4 - now) / kNsPerMs;
  const Timer timer{now + (ms < most ? ms : most) * kNsPerMs, next_++};
  timers_.emplace(timer, std::move(run));
  return timer;
}

void Loop::Cancel(Timer* timer) {
  timers_.erase(*timer);
  *timer = {};
}

void Loop::Soon(std::function<void()> run) {
  soon_.push_back(std::move(run));
}

// Only ever moves the kernel's timer when the earliest deadline is before it: one that fires for
// nothing costs less than re-arming for every cancelled timeout.
void Loop::Arm() {
  if (timers_.empty()) return;
  const uint64_t deadline = timers_.begin()->first.first;
  if (armed_ns_ != 0 && armed_ns_ <= deadline) return;
  itimerspec when = {};
  when.it_value.tv_sec = static_cast<time_t>(deadline / kNsPerSecond);
  when.it_value.tv_nsec = static_cast<long>(deadline % kNsPerSecond);
  (void)timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
  armed_ns_ = deadline;
}

void Loop::RunTimers() {
  uint64_t expirations = 0;
  (void)read(timer_fd_.get(), &expirations, sizeof expirations);  // Only to clear it.
  armed_ns_ = 0;
  const uint64_t now = MonotonicNs();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto run = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    run();
  }
}

void Loop::RunSoon() {
  while (!soon_.empty()) {
    std::vector<std::function<void()>> batch;
    batch.swap(soon_);
    for (auto& run : batch) run();
  }
}

void Loop::Run() {
  epoll_event events[64];
  while (running_) {
    RunSoon();
    if (!running_) return;
    Arm();
    const int count =
        RetryEintr([&] { return epoll_wait(epoll_.get(), events, std::size(events), -1); });
    for (int i = 0; i < count && running_; ++i) {
      const Token token = events[i].data.u64;
      if (token == 0) {
        RunTimers();
        continue;
      }
      const auto found = watched_.find(token);
      if (found == watched_.end()) continue;
      // The callback may forget its own watch: it must outlive that.
      Ready ready = std::move(found->second.ready);
      ready(events[i].events);
      const auto still = watched_.find(token);
      if (still != watched_.end()) still->second.ready = std::move(ready);
    }
  }
}

}  // namespace caisson
