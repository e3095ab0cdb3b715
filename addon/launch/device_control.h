// zone: native
#pragma once

#include "launch/launch.h"

namespace caisson::launch {

// Docker's rules: every node may be made, the harmless ones and terminals may be used.
[[nodiscard]] List<DeviceRule> DefaultDeviceRules() noexcept;

// Lays `rules` (none: the default ones) on a group that has none yet, in the host's way.
[[nodiscard]] Result<> ControlDevices(const Host& host, List<DeviceRule> rules,
                                      const Cgroup& cgroup);

// The default rules as a program, when this machine takes one on the v2 group `folder`, by trying.
[[nodiscard]] UniqueFd TryDeviceProgram(int folder);

}  // namespace caisson::launch
