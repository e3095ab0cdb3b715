// zone: native (usable in the child zone)
#pragma once

#include <errno.h>

namespace caisson {

// Calls `call` until it does not fail with EINTR. The one place where EINTR is handled.
template <typename Call>
inline auto RetryEintr(Call call) noexcept -> decltype(call()) {
  for (;;) {
    const auto result = call();
    if (result != static_cast<decltype(result)>(-1) || errno != EINTR) return result;
  }
}

}  // namespace caisson
