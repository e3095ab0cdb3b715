// zone: loop
#pragma once

#include <sys/types.h>

#include "base/unique_fd.h"

namespace caisson::binding {

enum class Stderr { kNull, kKept };

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd channel;  // our end, non-blocking
};

// What failed, for a Node-style system error.
struct SystemError {
  int error = 0;
  const char* syscall = "";
};

// Starts the supervisor: fd 0 and 1 (and 2) on /dev/null, 3 = its end of the channel (blocking),
// 4 = a pidfd of this process, nothing else open; empty environment, no signal blocked or ignored.
// The child borrows this process's memory until it has executed, as vfork(2) does, so that starting
// costs the same whatever the program's size; it runs on a stack of its own.
[[nodiscard]] SystemError Spawn(const char* path, char* const* argv, Stderr keep_stderr,
                                Spawned* spawned) noexcept;

struct ExitStatus {
  enum class Kind { kRunning, kExited, kSignaled, kUnknown } kind = Kind::kUnknown;
  int value = 0;
};

// Reaps this one child, if it has ended. Unknown when somebody else has reaped it already.
[[nodiscard]] ExitStatus Reap(int pidfd) noexcept;

// Waits for the end of the child in a thread of its own and reaps it there: for an env that goes
// while the process lives on, so that no zombie is left.
void ReapInBackground(UniqueFd pidfd) noexcept;

}  // namespace caisson::binding
