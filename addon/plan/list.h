// zone: native (usable in the child zone)
#pragma once

#include <stdint.h>

namespace caisson {

// Items that lie in an arena, for as long as that lives.
template <typename T>
struct List {
  const T* items = nullptr;
  uint32_t count = 0;
  const T* begin() const noexcept { return items; }
  const T* end() const noexcept { return items + count; }
};

}  // namespace caisson
