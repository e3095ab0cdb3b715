// zone: native
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

struct Worker {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Starts a sibling of the caller (a child of the supervisor) that does `work` and exits with what
// it returns, in a sandbox: no descriptors but those to `keep`, no network, no other process, no
// capability but those for files; as its root the folder `root_fd`, or an empty one (-1). It is the
// first process of a pid namespace: what it starts ends with it.
[[nodiscard]] Result<Worker> ForkWorker(const std::vector<int>& keep, int root_fd, Step step,
                                        const std::function<int()>& work);

// Closes every descriptor but `keep` (and 0, 1, 2). After a fork: a process holds only what it
// needs, or pipes never end and namespaces never die.
void CloseOthers(std::vector<int> keep);

}  // namespace caisson
