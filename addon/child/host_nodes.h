// zone: child
#pragma once

#include <fcntl.h>

#include "child/context.h"
#include "sys/device_nodes.h"

namespace caisson::child {

// Rootless: the folder with the host's nodes, to clone from. -1 and errno.
[[nodiscard]] inline int OpenHostNodes(const Context& context) noexcept {
  constexpr int kFolder = O_PATH | O_DIRECTORY | O_CLOEXEC;
  return context.host_nodes ? openat(context.devices, sys::kDevicesFolder, kFolder)
                            : openat(AT_FDCWD, context.device_folder, kFolder);
}

}  // namespace caisson::child
