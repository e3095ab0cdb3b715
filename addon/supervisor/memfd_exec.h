// zone: native
#pragma once

#include <span>

#include "base/result.h"

namespace caisson {

// Replaces this image by a copy of itself that nobody can write: a container process that gets hold
// of /proc/PID/exe of ours finds the copy, never the installed file (CVE-2019-5736). Where the
// kernel refuses executable memfds the copy is a nameless file in the first of `folders` that lets
// it run (run folders are often mounted noexec). Returns only on failure.
[[nodiscard]] Failure ExecSealedCopy(std::span<const char* const> folders, char* const* argv);

}  // namespace caisson
