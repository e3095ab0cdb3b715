// zone: child
#pragma once

#include <stdint.h>

#include "plan/launch_plan.h"

namespace caisson::child {

// A file system to be made.
struct FileSystem {
  const char* type = nullptr;
  List<const char*> data;         // "key=value" or "flag"
  const char* more[5] = {};       // further options, set before `data`; up to the first null
  const char* without = nullptr;  // options of `data` that start so are left out
  uint64_t attr = 0;              // MOUNT_ATTR_*
  const char* label = nullptr;    // SELinux's, of all that lies in it
};

// Makes `fs` and mounts it over `target`, which is what `path` leads to below `root`. `*mount`
// becomes a descriptor of the mount's root, the caller's to close. Returns 0 or errno.
int MountOver(const FileSystem& fs, int root, const char* path, int target, int* mount) noexcept;

// Makes `fs` without mounting it anywhere. ENOSYS where the kernel has no fsopen(2).
int MakeDetached(const FileSystem& fs, int* mount) noexcept;

}  // namespace caisson::child
