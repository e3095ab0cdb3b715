// zone: native
#include "supervisor/import_worker.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include <algorithm>

#include "supervisor/import.h"
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

int EnterSandbox() {
  if (sys::Unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) return errno;
  UniqueFd context(sys::FsOpen("tmpfs"));
  if (!context || sys::FsCreate(context.get()) != 0) return errno;
  UniqueFd root(sys::FsMount(context.get(), MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID));
  if (!root || sys::MoveMountToPath(root.get(), "/staging") != 0) return errno;
  if (fchdir(root.get()) != 0 || sys::PivotRoot(".", ".") != 0) return errno;
  if (sys::Unmount(".", sys::MNT_DETACH) != 0 || chdir("/") != 0) return errno;
  (void)sys::Prctl(PR_SET_NO_NEW_PRIVS, 1);
  return sys::CapSet(kFileCapabilities, kFileCapabilities, 0) == 0 ? 0 : errno;
}

[[noreturn]] void RunWorker(int source_fd, int parent_fd, const char* name, int report_fd) {
  CloseOthers({source_fd, parent_fd, report_fd});
  if (const int error = EnterSandbox(); error != 0) _exit(error & 0x7f);
  _exit(RunImport(source_fd, parent_fd, name, report_fd) == 0 ? 0 : 1);
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

Result<Worker> ForkImportWorker(int source_fd, int parent_fd, const std::string& name,
                                int report_fd) {
  Worker worker;
  worker.pid = kernel::Fork(CLONE_PARENT, &worker.pidfd);
  if (worker.pid < 0) return FailErrno(Step::kImport);
  if (worker.pid == 0) RunWorker(source_fd, parent_fd, name.c_str(), report_fd);
  return worker;
}

}  // namespace caisson
