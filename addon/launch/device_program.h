// zone: native
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "plan/limits_plan.h"

namespace caisson::launch {

// Rules as a program of BPF_PROG_TYPE_CGROUP_DEVICE. As in v1's lists, an allowing rule fits what
// it covers wholly, a refusing one what it touches.
[[nodiscard]] std::vector<bpf_insn> CompileDeviceRules(List<DeviceRule> rules);

}  // namespace caisson::launch
