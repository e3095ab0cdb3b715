// zone: child
#pragma once

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "plan/launch_plan.h"

namespace caisson::child {

constexpr uint32_t kMaxGroups = 1024;

struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
  uint32_t group_count = 0;  // of `groups`: the primary group first
  gid_t groups[kMaxGroups] = {};
  char home[PATH_MAX] = {};  // "" when the user has no entry
};

// Who `user` is, by /etc/passwd and /etc/group below `root` alone:
//
//   ""            uid 0            "name"         its entry
//   "7"           that id          "name:group"   only that group, no supplementary ones
//
// A number (0 … 4294967294, digits only) is never looked up as a name. The entry of a numeric user
// gives its group and home, where there is one; a user by name must have one. Both files are read
// in bounded pieces, only when they are regular; a line longer than 32 KiB or malformed is no
// entry, nor is anything beyond 4 MiB. Returns 0 or errno: ENOENT for an unknown name, EINVAL for a
// malformed id, E2BIG for more than kMaxGroups groups. `*failed_group` becomes the position in
// `add_groups` + 1 of the group that was at fault, or 0.
int ResolveUser(int root, const char* user, const List<const char*>& add_groups, UserIds* ids,
                uint32_t* failed_group) noexcept;

}  // namespace caisson::child
