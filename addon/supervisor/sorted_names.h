// zone: native
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace caisson {

// What lies in the folder, without "." and "..", in byte order. It is read from where it stands.
[[nodiscard]] Result<std::vector<std::string>> SortedNames(int folder_fd, Step step);

}  // namespace caisson
