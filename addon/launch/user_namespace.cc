// zone: native
#include "launch/user_namespace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "launch/clone.h"
#include "sys/device_nodes.h"
#include "sys/magic.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

// In one write(2), as the kernel wants it.
int WriteFile(const Host& host, pid_t pid, const char* name, const char* text) {
  char path[48];
  (void)snprintf(path, sizeof path, "%d/%s", pid, name);
  const UniqueFd file(openat(host.proc.get(), path, O_WRONLY | O_CLOEXEC));
  if (!file) return errno;
  const size_t size = strlen(text);
  const ssize_t written = write(file.get(), text, size);
  if (written < 0) return errno;
  return static_cast<size_t>(written) == size ? 0 : EIO;
}

int WriteIdMaps(const Host& host, pid_t pid, const UserNamespacePlan& plan) {
  const int error = WriteFile(host, pid, "gid_map", plan.gid_map);
  return error != 0 ? error : WriteFile(host, pid, "uid_map", plan.uid_map);
}

// Gives what lies in `folder`, and itself, to the container's root. 0 or errno.
int GiveFolder(int parent, const char* name, const UserNamespacePlan& plan) {
  const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = fd < 0 ? nullptr : fdopendir(fd);
  if (listing == nullptr) {
    const int error = errno;
    if (fd >= 0) (void)close(fd);
    return error;
  }
  int error = 0;
  while (const dirent* entry = readdir(listing)) {
    if (strcmp(entry->d_name, "..") == 0) continue;
    if (fchownat(fd, entry->d_name, plan.owner_uid, plan.owner_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      error = errno;
      break;
    }
  }
  (void)closedir(listing);
  return error;
}

Result<UniqueFd> MakeSysfs() {
  const UniqueFd context(sys::FsOpen("sysfs"));
  if (!context || sys::FsCreate(context.get()) != 0) return FailErrno(Step::kMount);
  UniqueFd mount(sys::FsMount(context.get(), 0));
  if (!mount) return FailErrno(Step::kMount);
  return mount;
}

}  // namespace

// A namespace is there as long as somebody is in it, or holds it open: the child waits for that.
Result<UniqueFd> MakeUserNamespace(const Host& host, const UserNamespacePlan& plan) {
  int pair[2];
  if (pipe2(pair, O_CLOEXEC) != 0) return FailErrno(Step::kUserNamespace);
  const UniqueFd wait(pair[0]);
  UniqueFd go(pair[1]);
  sys::CloneArgs args = {};
  args.flags = CLONE_NEWUSER;
  args.exit_signal = SIGCHLD;
  const pid_t pid = sys::Clone3(args);
  if (pid < 0) return FailErrno(Step::kUserNamespace);
  if (pid == 0) {
    (void)close(go.release());
    char byte = 0;
    (void)!read(wait.get(), &byte, 1);
    _exit(0);
  }
  const int error = WriteIdMaps(host, pid, plan);
  char path[32];
  (void)snprintf(path, sizeof path, "%d/ns/user", pid);
  UniqueFd made(openat(host.proc.get(), path, O_RDONLY | O_CLOEXEC));
  const int failed = made ? 0 : errno;
  go.reset();
  (void)RetryEintr([pid] { return waitpid(pid, nullptr, __WALL); });
  if (error != 0) return Fail(Step::kMapIds, error);
  if (failed != 0) return Fail(Step::kUserNamespace, failed);
  return made;
}

Result<> MapMount(int mount, int user_namespace, Extent extent) {
  const struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                                  .attr_clr = 0,
                                  .propagation = 0,
                                  .userns_fd = static_cast<uint64_t>(user_namespace)};
  const unsigned flags = extent == Extent::kTree ? unsigned{AT_RECURSIVE} : 0;
  if (sys::MountSetAttr(mount, flags, attr) != 0) return FailErrno(Step::kMapMount);
  return {};
}

Result<UniqueFd> MapFolder(int folder, int user_namespace) {
  UniqueFd mount(sys::OpenTree(folder, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!mount) return FailErrno(Step::kMapMount);
  if (auto mapped = MapMount(mount.get(), user_namespace, Extent::kMount); !mapped) {
    return std::unexpected(mapped.error());
  }
  return mount;
}

Result<IdMapping> BeginIdMapping(const UserNamespacePlan& plan, int devices, const int stdio[3]) {
  for (const char* folder : {".", sys::kDevicesFolder}) {
    if (const int error = GiveFolder(devices, folder, plan); error != 0) {
      return Fail(Step::kDevices, error);
    }
  }
  GivePipes(stdio, plan.owner_uid, plan.owner_gid);
  auto sysfs = MakeSysfs();
  if (!sysfs) return std::unexpected(sysfs.error());
  auto pipe = MakePipe(Step::kMapIds);
  if (!pipe) return std::unexpected(pipe.error());
  return IdMapping{.child = std::move(pipe->read_end),
                   .parent = std::move(pipe->write_end),
                   .sysfs = std::move(*sysfs)};
}

void EndIdMapping(const Host& host, const LaunchPlan& plan, pid_t pid, IdMapping& mapping) {
  int error = WriteIdMaps(host, pid, plan.user_namespace);
  if (error == 0 && plan.process.set_oom_score_adj) {
    // To the machine it is a process without rights over itself.
    char text[16];
    (void)snprintf(text, sizeof text, "%d", plan.process.oom_score_adj);
    error = WriteFile(host, pid, "oom_score_adj", text);
  }
  // A child that has died does not read it.
  (void)!write(mapping.parent.get(), &error, sizeof error);
}

void GivePipes(const int stdio[3], uid_t uid, gid_t gid) {
  for (int i = 0; i < 3; ++i) {
    struct stat info;
    if (stdio[i] < 0 || fstat(stdio[i], &info) != 0 || !S_ISFIFO(info.st_mode)) continue;
    // A named one belongs to somebody. The pipe works in any case; its path may not.
    if (sys::IsOn(stdio[i], sys::kPipeMagic)) (void)!fchown(stdio[i], uid, gid);
  }
}

}  // namespace caisson::launch
