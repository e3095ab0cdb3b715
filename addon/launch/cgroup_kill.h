// zone: native
#pragma once

#include <string>

#include "launch/launch.h"

namespace caisson::launch {

// SIGKILL to everybody in the group `name` and below it, those being born included. Returns 0 when
// it was sent (they may still be dying), or the group is gone; else errno.
int KillGroup(const Hierarchy& hierarchy, const std::string& name);

}  // namespace caisson::launch
