// zone: native
#include "launch/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "launch/short_child.h"
#include "plan/shared_namespaces.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

struct Found {
  int init_pidfd = -1;
  int mount = -1;
  int error = 0;
};

// The kernel clones no mount of another mount namespace: one has to be in there (may_copy_tree()).
void Open(Found* found) noexcept {
  if (sys::SetNs(found->init_pidfd, CLONE_NEWNS) != 0) {
    found->error = errno;
    return;
  }
  const UniqueFd folder(sys::OpenAt2(AT_FDCWD, "/dev/shm", O_PATH | O_DIRECTORY,
                                     RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  if (folder) {
    found->mount =
        sys::OpenTree(folder.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  }
  if (found->mount < 0) found->error = errno;
}

}  // namespace

Result<UniqueFd> OpenSharedMemory(int init_pidfd) {
  Found found;
  found.init_pidfd = init_pidfd;
  const auto ran = RunInShortChild(
      0, Step::kShareNamespace, [](void* argument) { Open(static_cast<Found*>(argument)); },
      &found);
  if (!ran) return std::unexpected(ran.error());
  if (found.error != 0) {
    return Fail(Step::kShareNamespace, found.error, static_cast<uint32_t>(Shared::kIpc));
  }
  return UniqueFd(found.mount);
}

}  // namespace caisson::launch
