// zone: native
#pragma once

#include <stdint.h>

#include "base/result.h"
#include "supervisor/options.h"

namespace caisson {

// Enters a user namespace (and a mount namespace with it) in which the caller is root. Where the
// `helpers` say which program may map which subordinate ids, there are more ids than that one,
// of users, groups or both; what cannot be mapped so is left at one. The caller has to be
// single-threaded and still dumpable: a non-dumpable process's uid_map belongs to root.
[[nodiscard]] Result<> EnterUserNamespace(const IdHelpers& helpers = {});

struct MappedIds {
  uint64_t uids = 0;  // from 0 on; 0: not known
  uint64_t gids = 0;
};
// Of the caller's own user namespace.
[[nodiscard]] MappedIds ReadMappedIds();

}  // namespace caisson
