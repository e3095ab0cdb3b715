// zone: native
#pragma once

#include "plan/field_checks.h"

namespace caisson::plan {

// One kTimeOffset: a line of /proc/PID/timens_offsets, in `arena`.
[[nodiscard]] Result<const char*> ParseTimeOffset(const Field& group, Arena& arena) noexcept;

}  // namespace caisson::plan
