// zone: native
#pragma once

#include <stdint.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

enum class Opened { kYes, kGone, kChanged, kOtherMount };

// Opens one name beneath `folder_fd` for reading, neither through a link nor onto another mount.
// `flags`: O_DIRECTORY, O_NOATIME. Whoever changes the folder meanwhile can make it fail, and
// nothing else.
[[nodiscard]] Result<Opened> OpenEntry(int folder_fd, const char* name, uint64_t flags, Step step,
                                       UniqueFd* fd);

}  // namespace caisson
