// zone: native
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

// A container's log on disk. Blocking: for hands. The form of its records is in log_writer.h.
namespace caisson {

// For appending; made (0600) where missing.
[[nodiscard]] Result<UniqueFd> OpenLogFile(int store_fd, const std::string& path);

// log → log.1 → … → log.<files - 1>, the oldest is dropped; returns the next, empty `log`.
[[nodiscard]] Result<UniqueFd> RotateLogFile(int store_fd, const std::string& path, uint32_t files);

}  // namespace caisson
