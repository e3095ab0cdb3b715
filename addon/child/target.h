// zone: child
#pragma once

#include <stdint.h>

namespace caisson::child {

enum class TargetKind { kFolder, kFile };

enum class Links {
  kFollow,  // as the container would see them: "/" is its own root
  kRefuse,  // no component may be one: /proc, /sys and /dev of an image must be real folders
};

struct Target {
  int fd = -1;        // O_PATH; the caller's to close
  bool made = false;  // it was missing
};

// Opens `path` (absolute) below `root`, making what is missing: folders root-owned 0755, the last
// component an empty file when `kind` says so. Every step of the way is taken beneath descriptors
// of `root`, so that nothing an image or another process does to the tree leads outside. An
// existing target of the other kind is ENOTDIR or EISDIR. Returns 0 or errno.
int OpenTarget(int root, const char* path, TargetKind kind, Links links, Target* target) noexcept;

// The same for something to be mounted there: ELOOP where links lead into procfs or sysfs, whose
// files would then be another's (CVE-2019-16884).
int OpenMountPoint(int root, const char* path, TargetKind kind, Target* target) noexcept;

// The same as OpenTarget without making anything: ENOENT when it is not there.
int OpenExisting(int root, const char* path, Links links, int* fd) noexcept;

}  // namespace caisson::child
