// zone: native
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/unique_fd.h"

// The files of a cgroup's folder, each of which is one text.
namespace caisson::launch {

// Gone, or on its way: the kernel says ENODEV for files of a removed group.
inline bool IsGone(int error) noexcept {
  return error == ENOENT || error == ENODEV;
}

// 0 or errno. One write: these files take no half.
inline int WriteGroupFile(int folder, const char* name, std::string_view text) noexcept {
  const UniqueFd fd(openat(folder, name, O_WRONLY | O_CLOEXEC));
  if (!fd) return errno;
  return write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

// Empty when it cannot be read.
inline std::string ReadGroupFile(int folder, const char* name) {
  std::string text;
  const UniqueFd fd(openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!fd) return text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

inline bool HasGroupFile(int folder, const char* name) noexcept {
  return faccessat(folder, name, F_OK, 0) == 0;
}

}  // namespace caisson::launch
