// zone: native
#pragma once

#include <errno.h>

#include <expected>

#include "base/failure.h"

namespace caisson {

// What a function returns that can fail. There are no exceptions in this addon.
template <typename T = void>
using Result = std::expected<T, Failure>;

[[nodiscard]] inline std::unexpected<Failure> Fail(Step step, int error,
                                                   uint32_t index = 0) noexcept {
  return std::unexpected(Failure{.step = step, .error = error, .index = index});
}

// Fails with the current errno.
[[nodiscard]] inline std::unexpected<Failure> FailErrno(Step step, uint32_t index = 0) noexcept {
  return Fail(step, errno, index);
}

}  // namespace caisson
