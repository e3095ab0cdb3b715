// zone: native
#pragma once

#include <string>
#include <vector>

#include "launch/launch.h"
#include "supervisor/run_folder.h"

namespace caisson {

// Where a runtime's groups begin in a hierarchy: its mount point, or a group that is delegated.
struct CgroupBase {
  std::string path;
  bool v2 = false;
};

// What every hand knows.
struct HandContext {
  launch::Host host;
  std::string runtime_id;
  std::vector<CgroupBase> cgroup_bases;  // used by the outer hand
  int run_parent_fd = -1;                // borrowed; used by the outer hand
  int run_folder_fd = -1;
};

enum class HandPlace { kInner, kOuter };

// The whole life of a hand: a job, its answer, the next job, until the supervisor's end closes.
// Here everything may block.
[[noreturn]] void RunHand(const HandContext& context, HandPlace place, int socket);

}  // namespace caisson
