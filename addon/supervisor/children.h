// zone: native
#pragma once

#include <sys/types.h>

#include <vector>

namespace caisson {

// The children of `parent` in the pid namespace that `proc_fd`, a procfs, shows.
[[nodiscard]] std::vector<pid_t> ChildrenOf(pid_t parent, int proc_fd);

// Whether a process, perhaps a zombie, has called execve since it was cloned.
enum class Executed { kYes, kNo, kUnknown };
[[nodiscard]] Executed HasExecuted(pid_t pid, int proc_fd);

// The signal that an init (init/init.cc), a zombie now, says its command has ended by; 0: none.
[[nodiscard]] int SignalToldBy(pid_t pid, int proc_fd);

}  // namespace caisson
