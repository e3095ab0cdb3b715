// zone: child
#pragma once

#include "child/context.h"

namespace caisson::child {

// The life of a child after the clone, up to execve: the only door from launch/ into this zone.
[[noreturn]] void RunLaunch(Context& context) noexcept;
[[noreturn]] void RunJoin(Context& context) noexcept;

#ifdef CAISSON_TESTING
// The step with this position (from 0) of the table fails with EIO. -1: none. Tests only.
extern int fault_position;
int LaunchStepCount() noexcept;
int JoinStepCount() noexcept;
Step LaunchStepAt(int position) noexcept;
Step JoinStepAt(int position) noexcept;
#endif

}  // namespace caisson::child
