// zone: child
#pragma once

#include "child/context.h"

namespace caisson::child {

// The life of a child after the clone, up to execve: the only door from outside into this zone.
[[noreturn]] void RunLaunch(Context& context) noexcept;
[[noreturn]] void RunJoin(Context& context) noexcept;

// Runs one hook as a child of the caller, with a state of this status and pid on its stdin, and
// waits for its end. 0, or an errno: ECHILD when it ended badly, ETIMEDOUT when it was killed for
// its time. For those that run outside of a container; the others are steps.
int RunHook(const HookItem& hook, const char* status, pid_t pid, const char* more_state) noexcept;

#ifdef CAISSON_TESTING
// The step with this position (from 0) of the table fails with EIO. -1: none. Tests only.
extern int fault_position;
int LaunchStepCount() noexcept;
int JoinStepCount() noexcept;
Step LaunchStepAt(int position) noexcept;
Step JoinStepAt(int position) noexcept;
#endif

}  // namespace caisson::child
