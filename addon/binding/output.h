// zone: loop
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/unique_fd.h"

namespace caisson::binding {

// What came out of one pipe, up to a bound. What is over it is read and dropped, so that the writer
// never stops on it.
class Output {
 public:
  enum class Progress { kMore, kDry, kEnded };

  Output() noexcept = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output();

  // Takes the (non-blocking) end that is read.
  void Open(UniqueFd pipe, size_t limit) noexcept;
  [[nodiscard]] int fd() const noexcept { return pipe_.get(); }
  [[nodiscard]] bool ended() const noexcept { return !pipe_.valid(); }
  void End() noexcept { pipe_.reset(); }

  // Reads once. kMore: there may be more; kDry: nothing now; kEnded: every writer is gone. The
  // caller ends its watch and then calls End().
  [[nodiscard]] Progress Read(uint8_t* scratch, size_t scratch_bytes) noexcept;

  [[nodiscard]] const uint8_t* data() const noexcept { return data_; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] bool truncated() const noexcept { return truncated_; }
  // Gives the memory away, cut to its size: to be released with free().
  [[nodiscard]] uint8_t* Release() noexcept;

 private:
  void Append(const uint8_t* bytes, size_t count) noexcept;

  UniqueFd pipe_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  size_t limit_ = 0;
  bool truncated_ = false;
};

}  // namespace caisson::binding
