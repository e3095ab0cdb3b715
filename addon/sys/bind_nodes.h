// zone: native (usable in the child zone)
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys/device_nodes.h"
#include "sys/mount.h"

namespace caisson::sys {

// Over each node of the folder `to` the one of `from`, which must be what its name says. Returns 0
// or errno.
inline int BindNodes(int from, int to) noexcept {
  for (const DeviceNode& node : kDeviceNodes) {
    const int source =
        OpenTree(from, node.name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (source < 0) return errno;
    const int target = openat(to, node.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int error = 0;
    if (target < 0) {
      error = errno;
    } else if (!IsDevice(source, node)) {
      error = ENODEV;
    } else if (MoveMount(source, target) != 0) {
      error = errno;
    }
    if (target >= 0) (void)close(target);
    (void)close(source);
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace caisson::sys
