// zone: native
#pragma once

#include "base/arena.h"
#include "base/fields.h"
#include "base/result.h"
#include "plan/limits_plan.h"

namespace caisson::plan {

[[nodiscard]] Result<LimitsPlan> ParseLimits(const Field& group, Arena& arena) noexcept;
[[nodiscard]] Result<DeviceRule> ParseDeviceRule(const Field& group) noexcept;

// What a kLimits field needs of the cgroups, without reading its values.
[[nodiscard]] uint64_t ControlsOf(Bytes limits) noexcept;

}  // namespace caisson::plan
