// zone: native
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

struct Worker {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Starts a sibling of the caller (a child of the supervisor) that copies `source_fd` to `name` in
// `parent_fd`, in a sandbox: no other descriptor, an empty root, no network, no capability but
// those for files. What it reports goes to `report_fd`.
[[nodiscard]] Result<Worker> ForkImportWorker(int source_fd, int parent_fd, const std::string& name,
                                              int report_fd);

// Closes every descriptor but `keep` (and 0, 1, 2). After a fork: a process holds only what it
// needs, or pipes never end and namespaces never die.
void CloseOthers(std::vector<int> keep);

}  // namespace caisson
