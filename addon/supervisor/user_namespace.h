// zone: native
#pragma once

#include "base/result.h"

namespace caisson {

// Enters a new user and mount namespace in which the caller's single id is 0. Must run while the
// process is dumpable: its own maps are root's otherwise.
[[nodiscard]] Result<> EnterUserNamespace();

}  // namespace caisson
