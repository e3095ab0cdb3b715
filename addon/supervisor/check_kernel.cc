// zone: native
// Kernel calls, an outer seccomp filter, and running from a memfd.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "supervisor/check_probe.h"
#include "supervisor/memfd_exec.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/process.h"

namespace caisson::check {
namespace {

// Exit statuses of the copy that memfd-exec starts.
constexpr int kFromMemfd = 0;
constexpr int kFromFile = 10;
constexpr int kNotStarted = 11;

// Numbers from 424 on are the same on every architecture. Calls with arguments that the kernel
// itself refuses with another errno, oldest first. The ones at the end are only asked to learn how
// new the kernel is.
struct Call {
  const char* name;
  long number;
  long arguments[6];
};
constexpr long kBadFd = -1;
constexpr Call kCalls[] = {
    {"unshare", SYS_unshare, {}},
    {"setns", SYS_setns, {kBadFd}},
    {"mount", SYS_mount, {}},
    {"umount2", SYS_umount2, {}},
    {"pivot_root", SYS_pivot_root, {}},
    {"memfd_create", SYS_memfd_create, {}},
    {"execveat", SYS_execveat, {kBadFd}},
    {"pidfd_send_signal", 424, {kBadFd, 0}},
    {"open_tree", 428, {kBadFd}},
    {"move_mount", 429, {kBadFd, 0, kBadFd}},
    {"fsopen", 430, {}},
    {"fsconfig", 431, {kBadFd}},
    {"fsmount", 432, {kBadFd}},
    {"pidfd_open", 434, {kBadFd}},
    {"clone3", 435, {}},
    {"close_range", 436, {2, 1}},
    {"openat2", 437, {kBadFd}},
    {"faccessat2", 439, {kBadFd}},
    {"mount_setattr", 442, {kBadFd}},
    {nullptr, 449, {}},          // futex_waitv, 5.16
    {nullptr, 451, {kBadFd}},    // cachestat, 6.5
    {nullptr, 457, {}},          // statmount, 6.8
    {nullptr, 462, {1, 1, -1}},  // mseal, 6.10
};

int Ask(const Call& call) {
  const long* a = call.arguments;
  return syscall(call.number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
}

// What a filter forbids: EPERM with every capability held, ENOSYS although the kernel has newer
// calls.
Finding OuterSeccomp(const Host& host) {
  const Trial trial = [&] {
    // Without CAP_SYS_ADMIN the kernel's own EPERM looks the same.
    const bool entitled = (EffectiveCapabilities() >> 21 & 1) != 0;
    std::string forbidden;
    std::string waiting;  // ENOSYS, until a newer call turns out to exist
    int error = 0;
    for (const Call& call : kCalls) {
      const int answer = Ask(call);
      if (answer != ENOSYS && answer != EPERM && !waiting.empty()) {
        forbidden += waiting;
        waiting.clear();
        error = ENOSYS;
      }
      if (call.name == nullptr) continue;
      if (answer == ENOSYS) waiting += std::string(" ") + call.name;
      if (answer == EPERM && entitled && host.filtered) {
        forbidden += std::string(" ") + call.name;
        error = EPERM;
      }
    }
    if (host.filtered && !waiting.empty()) {
      forbidden += waiting;
      error = ENOSYS;
    }
    if (!forbidden.empty()) {
      // ENOSYS without a filter: an emulated kernel (gVisor and its like).
      return host.filtered
                 ? Fail("outer-seccomp", error, "an outer seccomp filter forbids" + forbidden)
                 : Fail("old-kernel", error, "the kernel leaves out" + forbidden);
    }
    return Ok(host.filtered ? "an outer seccomp filter is there and forbids nothing that is needed"
                            : "");
  };
  const Finding inside = Try(host, Where::kInside, trial);
  if (strcmp(inside.cause, "not-tried") != 0) return inside;

  // unshare itself is refused: what can be asked without it.
  Finding outside = Try(host, Where::kOutside, trial);
  if (outside.verdict == Verdict::kOk && host.filtered) {
    return Fail("outer-seccomp", EPERM, "an outer seccomp filter forbids unshare");
  }
  return outside;
}

Finding Absent(const Host& host, const char* call, int error) {
  if (host.filtered && (error == ENOSYS || error == EPERM)) {
    return Fail("outer-seccomp", error, std::string("an outer seccomp filter forbids ") + call);
  }
  if (error == ENOSYS) return Fail("old-kernel", error, std::string("the kernel has no ") + call);
  return Fail("refused", error, std::string(call) + " is refused");
}

Finding Clone3(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    sys::CloneArgs arguments = {};
    int pidfd = -1;
    arguments.flags = CLONE_PIDFD;
    arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
    arguments.exit_signal = SIGCHLD;
    const pid_t child = sys::Clone3(arguments);
    if (child == 0) _exit(0);
    if (child < 0) return Absent(host, "clone3", errno);
    siginfo_t info = {};
    constexpr int kPidfdType = 3;  // P_PIDFD, 5.4
    if (waitid(static_cast<idtype_t>(kPidfdType), static_cast<id_t>(pidfd), &info, WEXITED) != 0) {
      return Absent(host, "waitid(P_PIDFD)", errno);
    }
    return Ok();
  });
}

Finding Openat2(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    const UniqueFd folder(sys::OpenAt2(AT_FDCWD, ".", O_PATH, sys::kInRoot));
    return folder ? Ok() : Absent(host, "openat2", errno);
  });
}

Finding Pidfd(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    const UniqueFd self(sys::PidfdOpen(getpid()));
    if (!self) return Absent(host, "pidfd_open", errno);
    if (sys::PidfdSendSignal(self.get(), 0) != 0) return Absent(host, "pidfd_send_signal", errno);
    return Ok();
  });
}

Finding PidfdNamespaces(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    const UniqueFd self(sys::PidfdOpen(getpid()));
    if (!self) return Absent(host, "pidfd_open", errno);
    const UniqueFd name_space(ioctl(self.get(), sys::kPidfdGetMountNamespace, 0));
    if (!name_space) {
      return Fail("old-kernel", errno, "namespaces are opened through /proc instead of by pidfd");
    }
    return Ok();
  });
}

Finding CloseRange(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    // From a number no descriptor has to the highest one.
    return sys::CloseRange(~0u, ~0u, 0) == 0 ? Ok() : Absent(host, "close_range", errno);
  });
}

// A detached tmpfs, made, changed and moved into place.
Finding MountApi(const Host& host) {
  return Try(host, Where::kInside, [&] {
    const UniqueFd context(sys::FsOpen("tmpfs"));
    if (!context) return Absent(host, "fsopen", errno);
    if (sys::FsCreate(context.get()) != 0) return Absent(host, "fsconfig", errno);
    const UniqueFd tree(sys::FsMount(context.get(), 0));
    if (!tree) return Absent(host, "fsmount", errno);
    const struct mount_attr read_only = {
        .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
    if (sys::MountSetAttr(tree.get(), 0, read_only) != 0)
      return Absent(host, "mount_setattr", errno);
    // What a bind is made of; the whole tree, as a part of it may be locked together in a user
    // namespace.
    const UniqueFd copy(
        sys::OpenTree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    if (!copy) return Absent(host, "open_tree", errno);
    // Over "/" of this trial's own mount namespace.
    if (sys::MoveMountToPath(tree.get(), "/") != 0) return Absent(host, "move_mount", errno);
    return Ok();
  });
}

Finding Seccomp(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    const sock_fprog program = {1, &allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Absent(host, "no_new_privs", errno);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0) return Ok();
    if (host.filtered) return Absent(host, "seccomp", errno);
    return Fail("kernel-config", errno, "the kernel takes no seccomp filter");
  });
}

Finding Keyring(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0) return Ok();
    if (errno == EDQUOT) return Fail("quota", errno, "the user's quota of keys is used up");
    return Absent(host, "keyctl", errno);
  });
}

Finding NoNewPrivileges(const Host& host) {
  (void)host;
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return Ok();
  return Note(
      "no-new-privs", 0,
      "the program runs with no_new_privs: setuid programs and file capabilities (sudo, ping, "
      "newuidmap) have no effect in containers");
}

// By the code that the bootstrap uses: a sealed memfd, else a nameless file in the run folder.
Finding MemfdExec(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    // As the supervisor does it: in the store, else in the run folder.
    std::vector<const char*> folders;
    for (const std::string* folder : {&host.store_folder, &host.run_folder}) {
      if (!folder->empty()) folders.push_back(folder->c_str());
    }
    const std::string policy = ReadWord("/proc/sys/vm/memfd_noexec");
    const bool forbidden = policy == "2";
    const char* cause = forbidden ? "memfd-noexec" : host.filtered ? "outer-seccomp" : "refused";
    const std::string why = forbidden ? "vm.memfd_noexec=2 forbids programs in a memfd"
                                      : "no program can be started from a memfd";

    Failure failure;
    UniqueFd report_read;
    UniqueFd report_write;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Fail("resources", errno, "pipe");
    report_read.reset(ends[0]);
    report_write.reset(ends[1]);
    const pid_t child = fork();
    if (child == 0) {
      char name[] = "caisson-supervisor";
      char subcommand[] = "check";
      char option[] = "--from-copy";
      char* const argv[] = {name, subcommand, option, nullptr};
      failure = ExecSealedCopy(folders, argv);
      (void)!write(report_write.get(), &failure, sizeof failure);
      _exit(kNotStarted);
    }
    report_write.reset();
    int status = 0;
    if (child < 0 || RetryEintr([&] { return waitpid(child, &status, 0); }) < 0) {
      return Fail("resources", errno, "fork");
    }
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : kNotStarted;
    if (code == kFromMemfd) return Ok();
    if (code == kFromFile) {
      return Note(cause, EACCES,
                  why + ": the supervisor runs from a nameless file in the store or run folder");
    }
    (void)!read(report_read.get(), &failure, sizeof failure);
    // Noexec mounts answer execve with EACCES; file systems without O_TMPFILE answer open with
    // EOPNOTSUPP.
    return Fail(cause, failure.error,
                why + ", nor from a nameless file in the run folder (" +
                    (failure.step == Step::kReexec ? "mounted noexec" : "it cannot hold one") +
                    ")");
  });
}

}  // namespace

int RunFromCopy() {
  char target[256] = {};
  if (readlink("/proc/self/exe", target, sizeof target - 1) < 0) return kNotStarted;
  return strncmp(target, "/memfd:", 7) == 0 ? kFromMemfd : kFromFile;
}

std::vector<Item> KernelItems() {
  using enum Weight;
  return {
      {"outer-seccomp", OuterSeccomp, kNeeded, kNeeded},
      {"clone3", Clone3, kNeeded, kNeeded},
      {"openat2", Openat2, kNeeded, kNeeded},
      {"pidfd", Pidfd, kNeeded, kNeeded},
      {"pidfd-namespaces", PidfdNamespaces, kWanted, kWanted},
      {"close-range", CloseRange, kNeeded, kNeeded},
      {"mount-api", MountApi, kNeeded, kNeeded},
      {"memfd-exec", MemfdExec, kNeeded, kNeeded},
      {"seccomp", Seccomp, kNeeded, kNeeded},
      {"keyring", Keyring, kWanted, kWanted},
      {"no-new-privs", NoNewPrivileges, kWanted, kWanted},
  };
}

}  // namespace caisson::check
