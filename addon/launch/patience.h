// zone: native
#pragma once

#include <stdint.h>
#include <time.h>

// For what the kernel does in its own time and tells nobody about.
namespace caisson::launch {

inline int64_t NowMs() noexcept {
  timespec time = {};
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}

inline void PauseMs(int64_t milliseconds) noexcept {
  const timespec time = {.tv_sec = 0, .tv_nsec = milliseconds * 1'000'000};
  (void)nanosleep(&time, nullptr);
}

}  // namespace caisson::launch
