// zone: native
#pragma once

#include <sys/types.h>

#include "launch/launch.h"

// What a container with a user namespace of its own needs of those outside of it.
namespace caisson::launch {

// A user namespace with these maps and nobody in it, by which mounts are mapped.
[[nodiscard]] Result<UniqueFd> MakeUserNamespace(const Host& host, const UserNamespacePlan& plan);

enum class Extent { kMount, kTree };
// Shows the files of a detached mount that nobody has written to as the user namespace has them.
[[nodiscard]] Result<> MapMount(int mount, int user_namespace, Extent extent);
// The same of a folder, as a detached mount of its own.
[[nodiscard]] Result<UniqueFd> MapFolder(int folder, int user_namespace);

// What a child waits for that is in a user namespace without ids yet, and what only somebody
// outside can give it.
struct IdMapping {
  UniqueFd child;  // where it reads an errno, or 0, once its ids are mapped
  UniqueFd parent;
  UniqueFd sysfs;  // any: where none is in sight, a user namespace may make none
};
// `devices`, made by MakeDevices, becomes the container's root's, as the pipes of `stdio` do.
[[nodiscard]] Result<IdMapping> BeginIdMapping(const UserNamespacePlan& plan, int devices,
                                               const int stdio[3]);
// Of the child with this pid, which tells how it went.
void EndIdMapping(const Host& host, const LaunchPlan& plan, pid_t pid, IdMapping& mapping);

// Pipes among these, so that /dev/stdout can be opened by its path.
void GivePipes(const int stdio[3], uid_t uid, gid_t gid);

}  // namespace caisson::launch
