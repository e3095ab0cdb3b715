// zone: loop
#include "binding/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utility>

#include "base/retry_eintr.h"

namespace caisson::binding {

Output::~Output() {
  free(data_);
}

void Output::Open(UniqueFd pipe, size_t limit) noexcept {
  pipe_ = std::move(pipe);
  limit_ = limit;
}

Output::Progress Output::Read(uint8_t* scratch, size_t scratch_bytes) noexcept {
  const ssize_t got = RetryEintr([&] { return read(pipe_.get(), scratch, scratch_bytes); });
  if (got < 0) return errno == EAGAIN ? Progress::kDry : Progress::kEnded;
  if (got == 0) return Progress::kEnded;
  Append(scratch, static_cast<size_t>(got));
  return Progress::kMore;
}

void Output::Append(const uint8_t* bytes, size_t count) noexcept {
  constexpr size_t kFirst = 1024;
  const size_t room = limit_ - size_;
  if (count > room) {
    truncated_ = true;
    count = room;
  }
  if (count == 0) return;
  if (size_ + count > capacity_) {
    // Doubling; libc moves large blocks by remapping their pages.
    size_t capacity = capacity_ == 0 ? kFirst : capacity_ * 2;
    if (capacity < size_ + count) capacity = size_ + count;
    if (capacity > limit_) capacity = limit_;
    auto* const grown = static_cast<uint8_t*>(realloc(data_, capacity));
    if (grown == nullptr) {
      truncated_ = true;
      limit_ = size_;
      return;
    }
    data_ = grown;
    capacity_ = capacity;
  }
  memcpy(data_ + size_, bytes, count);
  size_ += count;
}

uint8_t* Output::Release() noexcept {
  if (capacity_ > size_ && size_ > 0) {
    auto* const cut = static_cast<uint8_t*>(realloc(data_, size_));
    if (cut != nullptr) data_ = cut;
  }
  capacity_ = size_ = 0;
  return std::exchange(data_, nullptr);
}

}  // namespace caisson::binding
