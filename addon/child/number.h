// zone: child
#pragma once

#include <stdint.h>

namespace caisson::child {

// In decimal, with a NUL: at most 11 bytes.
inline void WriteNumber(char* text, uint32_t number) noexcept {
  char digits[12];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) *text++ = digits[--count];
  *text = '\0';
}

}  // namespace caisson::child
