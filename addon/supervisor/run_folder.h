// zone: native
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

// The run folder of one runtime, <run>/<id>, with its journal. A lock (flock) on the folder's one
// open file description, shared by the bootstrap process and the supervisor, says that the runtime
// lives; a folder whose lock is free belongs to a dead one.
struct RunFolder {
  UniqueFd parent;
  UniqueFd folder;
  std::string id;
};

[[nodiscard]] Result<RunFolder> OpenRunFolder(const std::string& run, const std::string& id);

// Undoes what dead runtimes left beside `own_id`.
void SweepRunFolders(int parent_fd, const std::string& own_id);

// The end of a runtime: undoes everything, then removes the folder.
[[nodiscard]] Result<> EndRunFolder(int parent_fd, int folder_fd, const std::string& id);

}  // namespace caisson
