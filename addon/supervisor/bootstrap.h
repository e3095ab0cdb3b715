// zone: native
#pragma once

#include "supervisor/cgroup_root.h"
#include "supervisor/journal.h"
#include "supervisor/options.h"
#include "supervisor/run_folder.h"
#include "supervisor/user_namespace.h"

namespace caisson {

// What the bootstrap process has made ready when it clones the supervisor.
struct Runtime {
  Options options;
  UniqueFd channel;    // to the program
  UniqueFd program;    // pidfd of the program
  UniqueFd bootstrap;  // pidfd of the bootstrap process
  RunFolder run;
  Journal journal;
  CgroupRoots cgroups;
  MappedIds ids;
  pid_t bootstrap_pid = 0;  // in the host's pid namespace
  pid_t supervisor_pid = 0;
};

// Exit codes of the bootstrap process beside what the supervisor's death says.
constexpr int kExitClean = 0;
constexpr int kExitStartFailed = 70;
constexpr int kExitLost = 71;

// `caisson-supervisor supervise …`. The process that the program started is the *bootstrap*: it
// stays outside, in the host's pid namespace, and undoes what the supervisor left if that is
// killed.
//
//   1  signals reset and blocked, stray descriptors closed, own session
//   2  rootless: a user and mount namespace, maps written while still dumpable
//   3  non-dumpable; a sealed copy of the executable, which runs from here on
//   4  store, run folder, journal, cgroups; what dead runtimes left is swept
//   5  clones the supervisor (pid 1 of a pid namespace), waits for its end, undoes
//
// With --host-pids the supervisor has no pid namespace. What it leaves behind is then ours: we are
// the subreaper of all that it starts, and kill it by its groups.
[[nodiscard]] int RunSupervise(int argc, char** argv);

// Pid 1 of the new pid namespace, if there is one; never returns. (supervisor.cc)
[[noreturn]] void Supervise(Runtime runtime);

}  // namespace caisson
