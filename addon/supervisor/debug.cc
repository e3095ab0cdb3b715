// zone: native
#include "supervisor/debug.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

namespace caisson {

namespace {
bool debug_on = false;
}  // namespace

void SetDebug(bool on) {
  debug_on = on;
}

void Debug(const char* format, ...) {
  if (!debug_on) return;
  timespec now = {};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  (void)dprintf(2, "caisson %lld.%06ld %s\n", static_cast<long long>(now.tv_sec),
                now.tv_nsec / 1000, text);
}

}  // namespace caisson
