// zone: native (usable in the child zone)
#pragma once

#include <stdint.h>

// The guards that attacks must fail on (SECURITY.md), each by a name where it stands: `if
// (CAISSON_GUARD(kRealFolders)) …`. It is `true`, and nothing else, in the supervisor that is
// shipped. test/attacks/ runs every attack a second time against a build of its own
// (CAISSON_UNGUARDED) with one of them taken out, and there it must succeed.
namespace caisson {

enum class Guard : uint8_t {
  kNone,
  kRealFolders,      // /proc, /sys and /dev of an image are no links
  kInRoot,           // paths of the container are resolved inside its root
  kKernelTargets,    // nothing is mounted into procfs or sysfs where a link of an image leads
  kPlainWorkdir,     // the working folder is not reached by a link of procfs, and is inside
  kNullDevice,       // /dev/null is the null device
  kMasks,            // masked paths are covered
  kReadOnlyPaths,    // read-only paths are
  kNoDevices,        // nodes of an image cannot be used
  kDeviceRules,      // nor those that are made inside, on a file system that has some
  kCgroupNamespace,  // what a container sees of cgroups begins at its own
  kCgroupReadOnly,   // and cannot be changed
  kOwnHierarchies,   // who may mount has a group of its own in all of them
  kClosedDescriptors,
  kNotDumpable,  // nothing of a process that joins can be read or attached to
  kOwnKeyring,
  kBoundingSet,
  kNotInheritable,  // the inheritable set is empty
  kNoNewPrivileges,
  kFilter,
  kIdRange,  // an id of 2^32 and more is none
  kCount
};

#ifdef CAISSON_UNGUARDED
// Twenty bytes of the executable, which a test finds by their beginning and changes.
extern "C" const volatile char caisson_guard_taken_out[20];

inline bool IsInPlace(Guard guard) noexcept {
  return static_cast<uint8_t>(caisson_guard_taken_out[19]) != static_cast<uint8_t>(guard);
}
#define CAISSON_GUARD(name) ::caisson::IsInPlace(::caisson::Guard::name)
#else
#define CAISSON_GUARD(name) true
#endif

}  // namespace caisson
