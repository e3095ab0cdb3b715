// zone: loop
#pragma once

namespace caisson::binding {

// Starts a small detached thread in which no signal is delivered. 0 or an errno. For what may block
// without bound: in libuv's pool it would starve the program's file system calls, and the process's
// exit waits for that pool. `argument` is the thread's. The addon is never unloaded (-z nodelete).
[[nodiscard]] int StartThread(void (*run)(void* argument), void* argument) noexcept;

}  // namespace caisson::binding
