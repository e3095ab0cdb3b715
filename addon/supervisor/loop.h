// zone: native
#pragma once

#include <stdint.h>
#include <sys/epoll.h>

#include <functional>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

// One epoll loop with timers. Nothing that it calls may block.
//
// A watch is known by a token, not by its descriptor: an event that was already fetched for a watch
// which has meanwhile been forgotten is dropped, whatever has taken the descriptor's number.
class Loop {
 public:
  using Token = uint64_t;  // 0: none
  using Ready = std::function<void(uint32_t events)>;
  using Timer = std::pair<uint64_t, uint64_t>;  // deadline and number; {0, 0}: none

  [[nodiscard]] Result<> Open();

  // `fd` is borrowed until Forget, which must come before it is closed. Aborts when the kernel is
  // out of memory for it: pid 1 has nothing better to do, and the bootstrap process undoes
  // everything.
  [[nodiscard]] Token Watch(int fd, uint32_t events, Ready ready);
  void Change(Token token, uint32_t events);
  void Forget(Token* token);  // sets it to 0; 0 is fine

  [[nodiscard]] Timer After(uint64_t ms, std::function<void()> run);
  void Cancel(Timer* timer);

  // Runs after the events at hand, before the loop sleeps.
  void Soon(std::function<void()> run);

  void Run();
  void Stop() { running_ = false; }
  // What was put off until `Soon`. Run() does it by itself.
  void RunSoon();

 private:
  struct Watched {
    int fd;
    Ready ready;
  };
  void Arm();
  void RunTimers();

  UniqueFd epoll_;
  UniqueFd timer_fd_;
  uint64_t next_ = 1;
  uint64_t armed_ns_ = 0;
  bool running_ = true;
  std::unordered_map<Token, Watched> watched_;
  std::map<Timer, std::function<void()>> timers_;
  std::vector<std::function<void()>> soon_;
};

[[nodiscard]] uint64_t MonotonicNs();
[[nodiscard]] uint64_t RealtimeNs();

}  // namespace caisson
