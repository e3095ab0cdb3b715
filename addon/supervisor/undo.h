// zone: native
#pragma once

#include "base/result.h"

namespace caisson {

// Undoes what the journal in a run folder lists, last in first out, then removes the journal. Works
// on half-made things and may run again after a crash. Runs in the host's mount namespace: in the
// bootstrap process after the supervisor's death, in the outer hand before its end, in a later
// runtime's start. The first failure is reported, the rest is undone all the same; what failed
// stays in the journal.
[[nodiscard]] Result<> UndoAll(int run_folder_fd);

}  // namespace caisson
