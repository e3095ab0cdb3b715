// zone: native
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson::launch {

// A detached mount of what the container of `init_pidfd` has as /dev/shm.
[[nodiscard]] Result<UniqueFd> OpenSharedMemory(int init_pidfd);

}  // namespace caisson::launch
