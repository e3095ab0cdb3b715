// zone: native
#include "supervisor/sorted_names.h"

#include <dirent.h>
#include <errno.h>

#include <algorithm>
#include <string_view>

namespace caisson {

Result<std::vector<std::string>> SortedNames(int folder_fd, Step step) {
  std::vector<std::string> names;
  alignas(dirent64) char buffer[32 * 1024];
  for (;;) {
    const ssize_t bytes = getdents64(folder_fd, buffer, sizeof buffer);
    // ENOENT: it was removed after it was opened, so it is empty.
    if (bytes < 0 && errno != ENOENT) return FailErrno(step);
    if (bytes <= 0) break;
    for (ssize_t at = 0; at < bytes;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace caisson
