// zone: loop
#include <stdlib.h>

#include <new>

// The few symbols of the C++ runtime that the binding would otherwise take from libstdc++: with
// them the addon needs no library at all beyond the C library that Node has loaded, whichever that
// is. Hidden, so that nobody else's are replaced. Running out of memory ends the process, as in V8.

#pragma GCC visibility push(hidden)

void* operator new(size_t bytes) {
  void* const block = malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) abort();
  return block;
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* block) noexcept {
  free(block);
}
void operator delete(void* block, size_t) noexcept {
  free(block);
}

namespace std {
const nothrow_t nothrow{};
void __throw_length_error(const char*) {
  abort();
}
}  // namespace std

extern "C" [[noreturn]] void __cxa_pure_virtual() {
  abort();
}

#pragma GCC visibility pop
