// zone: native
#pragma once

#include <string>
#include <vector>

#include "launch/launch.h"
#include "plan/protocol.h"
#include "supervisor/hand.h"
#include "supervisor/journal.h"
#include "supervisor/options.h"

namespace caisson {

// The runtime's own cgroup in each hierarchy that is used: cgroup2 first where it exists (alone, or
// as `unified` beside v1), then those of v1.
struct CgroupRoots {
  protocol::CgroupMode mode = protocol::CgroupMode::kNone;
  uint64_t controls = 0;  // protocol::Control
  launch::DeviceControl device_control = launch::DeviceControl::kNone;
  UniqueFd device_program;
  std::vector<launch::Hierarchy> hierarchies;
  std::vector<CgroupBase> bases;  // as many
};

// Makes them, each journalled before, unless there is no journal. A hierarchy that refuses
// (read-only, not delegated) is left out: whoever needs it is refused later, by name.
[[nodiscard]] Result<CgroupRoots> MakeCgroupRoots(const Options& options, Journal* journal);

// Kills what is in the group at an absolute path and below it, where that is one of v2: whoever
// they are, and though this process may not see them.
void KillCgroupPath(const std::string& path);

// Kills what is in the group at an absolute path, or below it, and removes it. Waits up to two
// seconds for the dying. Absent is success.
[[nodiscard]] Result<> RemoveCgroupPath(const std::string& path);

}  // namespace caisson
