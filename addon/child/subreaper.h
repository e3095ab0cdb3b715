// zone: child
#pragma once

#include <sys/types.h>

#include "child/context.h"

namespace caisson::child {

// Waits for `main_pid`, then ends as it ended: same exit code, same signal. Signals are passed on
// to it, but for kKillTreeSignal: that kills every descendant until none is left.
[[noreturn]] void StayAsSubreaper(Context& context, pid_t main_pid) noexcept;

}  // namespace caisson::child
