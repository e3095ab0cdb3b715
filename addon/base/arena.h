// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <new>
#include <string_view>
#include <type_traits>

namespace caisson {

// One block of memory that a plan is laid out in, filled once and then only read. Allocation fails
// by returning null: the caller sizes the block beforehand (a multiple of the message's size).
class Arena {
 public:
  explicit Arena(size_t bytes) noexcept {
    const size_t rounded = (bytes + 4095) & ~size_t{4095};
    void* block =
        mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return;
    block_ = static_cast<uint8_t*>(block);
    size_ = rounded;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    if (block_ != nullptr) (void)munmap(block_, size_);
  }

  [[nodiscard]] void* Allocate(size_t bytes, size_t alignment) noexcept {
    const size_t at = (used_ + alignment - 1) & ~(alignment - 1);
    if (block_ == nullptr || at > size_ || bytes > size_ - at) return nullptr;
    used_ = at + bytes;
    return block_ + at;
  }

  template <typename T>
  [[nodiscard]] T* Array(size_t count) noexcept {
    static_assert(std::is_trivially_destructible_v<T>);
    if (count > size_ / sizeof(T)) return nullptr;
    T* items = static_cast<T*>(Allocate(count * sizeof(T), alignof(T)));
    if (items != nullptr) {
      for (size_t i = 0; i < count; ++i) new (&items[i]) T();
    }
    return items;
  }

  // A copy of `text` with a NUL at its end.
  [[nodiscard]] const char* String(std::string_view text) noexcept {
    char* copy = static_cast<char*>(Allocate(text.size() + 1, 1));
    if (copy == nullptr) return nullptr;
    if (!text.empty()) memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
  }

  [[nodiscard]] size_t used() const noexcept { return used_; }

 private:
  uint8_t* block_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
};

}  // namespace caisson
