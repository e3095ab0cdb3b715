// zone: native
#pragma once

#include <string>
#include <vector>

#include "launch/launch.h"

namespace caisson::launch {

// Borrowed descriptors of folders whose mounts lie in the caller's mount namespace.
struct OverlayParts {
  std::vector<int> lower;  // topmost first
  int upper = -1;          // without: read-only, of at least two layers
  int work = -1;
  Upper kind = Upper::kKept;
  const char* label = nullptr;  // SELinux's, of all that lies in it
};

// A detached overlay mount, nodev. The kernel's own words go to `kernel_log` when it fails.
[[nodiscard]] Result<UniqueFd> MountOverlay(const Host& host, const OverlayParts& parts,
                                            std::string* kernel_log);

// The overlay that a MountItem of kind kOverlay asks for: `lower` is the detached clone of the host
// folder. Its upper/ and work/ lie in the item's scratch, which is made when missing: a path in the
// store, or a plain name in `folder_fd`.
// `owner`: of a user namespace, whose its upper folder is then; null: the caller's.
[[nodiscard]] Result<UniqueFd> MountOverlayItem(const Host& host, const MountItem& item, int lower,
                                                int folder_fd, const UserNamespacePlan* owner,
                                                const char* label, std::string* kernel_log);

}  // namespace caisson::launch
