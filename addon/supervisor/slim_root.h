// zone: native
#pragma once

#include "launch/launch.h"
#include "supervisor/options.h"

namespace caisson {

// Moves the caller, pid 1 of its pid namespace, into a mount namespace of its own with almost
// nothing in it: every container's start copies each mount there is (1,000 host mounts cost 2 ms),
// and what is not there cannot be reached by mistake.
//
//   /         a small tmpfs, read-only in the end
//   /store    the store (nosuid, nodev)
//   /proc     of the pid namespace
//   /staging  empty, see launch::Host
//   /dev      rootless: the host's null, zero, full, random, urandom, tty
//   /sys      rootless: a sysfs, without which the kernel refuses every further one
//
// Paths, not descriptors, come in: those opened before belong to the namespace that is left. Fills
// the store, proc and path members of `host`. `detail` names what failed.
[[nodiscard]] Result<> EnterSlimRoot(const Options& options, launch::Host* host,
                                     std::string* detail);

}  // namespace caisson
