// zone: loop
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/unique_fd.h"

namespace caisson::binding {

struct Pipe {
  UniqueFd local;   // non-blocking
  UniqueFd remote;  // blocking, as programs expect their stdio
};

enum class Direction { kToChild, kFromChild };

// A kernel pipe, close-on-exec. `bytes` asks for a buffer size, best effort; 0 = the kernel's.
// 0 or an errno.
[[nodiscard]] int MakePipe(Direction direction, int bytes, Pipe* pipe) noexcept;

// write(2) to a pipe that never raises SIGPIPE, whatever the program does with that signal.
// -1 and errno as write(2).
[[nodiscard]] long WritePipe(int fd, const uint8_t* bytes, size_t count) noexcept;

// Host pid behind a pidfd; -1 when the process has been reaped (or it is no pidfd).
[[nodiscard]] int PidOf(int pidfd) noexcept;

}  // namespace caisson::binding
