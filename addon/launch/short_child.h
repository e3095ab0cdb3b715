// zone: native
#pragma once

#include "base/result.h"

namespace caisson::launch {

// Runs `work` in a child that shares memory and descriptors with us, in the new namespaces of
// `flags` (CLONE_NEW*), and waits for its end. By a child, for an unshare(2) of our own could not
// be undone by a rootless caller, who has no rights in the host's namespaces to come back with.
[[nodiscard]] Result<> RunInShortChild(int flags, Step step, void (*work)(void*), void* argument);

}  // namespace caisson::launch
