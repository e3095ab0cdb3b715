// zone: native
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

// Removes `name` in `parent_fd` and everything below it, whatever its modes or attributes. Goes
// down beneath descriptors, follows no link, crosses no mount. Absent is success.
[[nodiscard]] Result<> RemoveTree(int parent_fd, const std::string& name);

// The same for a path inside the store: it is first renamed to `trash`/<a fresh name>, so that its
// name is free at once and a half-removed folder is never taken for a whole one.
[[nodiscard]] Result<> RemoveFolder(int store_fd, const std::string& folder,
                                    const std::string& trash);

// Opens a folder inside the store; `flags` as for openat2. O_CREAT makes missing folders (0700).
enum class Missing { kFail, kCreate };
[[nodiscard]] Result<UniqueFd> OpenStoreFolder(int store_fd, const std::string& path,
                                               Missing missing, Step step);

}  // namespace caisson
