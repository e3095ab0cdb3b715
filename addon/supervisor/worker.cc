// zone: native
#include "supervisor/worker.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "supervisor/kernel.h"
#include "sys/credentials.h"
#include "sys/mount.h"

namespace caisson {

namespace {

constexpr uint64_t Bit(int capability) {
  return uint64_t{1} << capability;
}
// SYS_ADMIN: for the xattrs trusted.*; in namespaces of its own, with an empty root and no network.
constexpr uint64_t kFileCapabilities = Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE) |
                                       Bit(CAP_DAC_READ_SEARCH) | Bit(CAP_FOWNER) |
                                       Bit(CAP_FSETID) | Bit(CAP_MKNOD) | Bit(CAP_SETFCAP) |
                                       Bit(CAP_SYS_ADMIN) | Bit(CAP_LINUX_IMMUTABLE);

UniqueFd EmptyRoot() {
  const UniqueFd context(sys::FsOpen("tmpfs"));
  if (!context || sys::FsCreate(context.get()) != 0) return {};
  return UniqueFd(sys::FsMount(context.get(), MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID));
}

// While we are in the mount namespace that it was opened in.
UniqueFd RootOf(int folder_fd) {
  UniqueFd root(sys::OpenTree(folder_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  mount_attr attr = {};
  attr.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  attr.propagation = MS_PRIVATE;
  // Kernels before 5.12 do not have it; nothing is started from there anyway.
  if (root) (void)sys::MountSetAttr(root.get(), 0, attr);
  return root;
}

int EnterSandbox(int root_fd) {
  UniqueFd root = root_fd < 0 ? UniqueFd() : RootOf(root_fd);
  if (root_fd >= 0 && !root) return errno;
  if (sys::Unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) return errno;
  if (root_fd < 0) root = EmptyRoot();
  if (!root || sys::MoveMountToPath(root.get(), "/staging") != 0) return errno;
  if (fchdir(root.get()) != 0 || sys::PivotRoot(".", ".") != 0) return errno;
  if (sys::Unmount(".", sys::MNT_DETACH) != 0 || chdir("/") != 0) return errno;
  (void)sys::Prctl(PR_SET_NO_NEW_PRIVS, 1);
  return sys::CapSet(kFileCapabilities, kFileCapabilities, 0) == 0 ? 0 : errno;
}

// Best effort: only deep trees need it.
void RaiseFileLimit() {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &files);
}

[[noreturn]] void RunWorker(std::vector<int> keep, int root_fd, const std::function<int()>& work) {
  keep.push_back(root_fd);
  CloseOthers(std::move(keep));
  if (const int error = EnterSandbox(root_fd); error != 0) _exit(error & 0x7f);
  if (root_fd >= 0) (void)close(root_fd);
  RaiseFileLimit();
  _exit(work() == 0 ? 0 : 1);
}

}  // namespace

void CloseOthers(std::vector<int> keep) {
  std::ranges::sort(keep);
  unsigned from = 3;
  for (const int fd : keep) {
    if (fd < static_cast<int>(from)) continue;
    if (static_cast<unsigned>(fd) > from) {
      (void)sys::CloseRange(from, static_cast<unsigned>(fd) - 1, 0);
    }
    from = static_cast<unsigned>(fd) + 1;
  }
  (void)sys::CloseRange(from, ~0u, 0);
}

Result<Worker> ForkWorker(const std::vector<int>& keep, int root_fd, Step step,
                          const std::function<int()>& work) {
  Worker worker;
  worker.pid = kernel::Fork(CLONE_PARENT | CLONE_NEWPID, &worker.pidfd);
  if (worker.pid < 0) return FailErrno(step);
  if (worker.pid == 0) RunWorker(keep, root_fd, work);
  return worker;
}

}  // namespace caisson
