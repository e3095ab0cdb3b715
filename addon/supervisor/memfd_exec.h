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

// The same with "--sealed" after the arguments, by which the copy knows what it is; not dumpable
// from before there is one. An exec makes a process dumpable again.
[[nodiscard]] Failure ExecSealed(std::span<const char* const> folders, int argc, char** argv);

}  // namespace caisson
