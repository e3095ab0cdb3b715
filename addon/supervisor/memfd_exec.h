// zone: native
#pragma once

#include "base/result.h"

namespace caisson {

// Replaces this image by a copy of itself that nobody can write: a container process that gets hold
// of /proc/PID/exe of ours finds the copy, never the installed file (CVE-2019-5736).
// `scratch_folder` is where the copy is made when the kernel refuses executable memfds. Returns
// only on failure.
[[nodiscard]] Failure ExecSealedCopy(const char* scratch_folder, char* const* argv);

}  // namespace caisson
