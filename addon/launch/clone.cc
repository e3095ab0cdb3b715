// zone: native
#include "launch/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/credentials.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

Result<Pair> AboveStdio(const int fds[2], Step step) {
  Pair made = {.read_end = UniqueFd(fds[0]), .write_end = UniqueFd(fds[1])};
  for (UniqueFd* end : {&made.read_end, &made.write_end}) {
    if (end->get() > STDERR_FILENO) continue;
    end->reset(fcntl(end->get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!*end) return FailErrno(step);
  }
  return made;
}

// For the ends of a terminal, or for a gate.
Result<Pair> MakeSockets(Step step) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return FailErrno(step);
  return AboveStdio(fds, step);
}

// v1's `tasks` moves one thread: where that is the writer itself, as here, the kernel does without
// the lock whose taking costs an RCU grace period (cgroup_procs_write_start, 5.4): 20 ms for a
// start that comes alone. The child is a single thread, so it means the same.
constexpr char kV1Join[] = "tasks";
constexpr char kV2Join[] = "cgroup.procs";

Result<UniqueFd> OpenJoin(int folder, const char* name, uint32_t index) {
  UniqueFd join(openat(folder, name, O_WRONLY | O_CLOEXEC));
  if (!join) return FailErrno(Step::kCgroupJoin, index);
  return join;
}

// Everything that clone(2) says about a kernel, a filter or a group that does not take
// CLONE_INTO_CGROUP. E2BIG: the argument ends before `cgroup` (before 5.7).
bool RefusesIntoCgroup(int error) noexcept {
  return error == EPERM || error == ENOSYS || error == EOPNOTSUPP || error == EINVAL ||
         error == E2BIG || error == EACCES;
}

uint64_t KnownCapabilities() noexcept {
  uint64_t known = 0;
  for (unsigned capability = 0; capability < 64; ++capability) {
    if (sys::Prctl(PR_CAPBSET_READ, capability) < 0) break;  // EINVAL: the kernel knows no more
    known |= uint64_t{1} << capability;
  }
  return known;
}

UniqueFd MountNamespaceOf(const Host& host, int pidfd, pid_t pid) {
  UniqueFd fd(ioctl(pidfd, sys::kPidfdGetMountNamespace, 0));
  if (fd) return fd;
  // Remove when kernel 6.11 is the floor. Nothing but time is lost when this fails, too.
  char path[32];
  (void)snprintf(path, sizeof path, "%d/ns/mnt", pid);
  fd.reset(openat(host.proc.get(), path, O_RDONLY | O_CLOEXEC));
  return fd;
}

}  // namespace

Result<Pair> MakePipe(Step step) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return FailErrno(step);
  return AboveStdio(fds, step);
}

Result<CgroupEntry> OpenCgroupEntry(const Host& host, const Cgroup& cgroup) {
  CgroupEntry entry;
  for (size_t i = 0; i < cgroup.folders.size() && i < host.hierarchies.size(); ++i) {
    const int folder = cgroup.folders[i].get();
    if (folder < 0) continue;
    if (host.hierarchies[i].v2 && entry.v2_folder < 0) {
      entry.v2_folder = folder;
      continue;
    }
    auto join = OpenJoin(folder, kV1Join, static_cast<uint32_t>(i));
    if (!join) return std::unexpected(join.error());
    entry.procs.push_back(std::move(*join));
  }
  return entry;
}

Result<Started> CloneChild(const Host& host, uint64_t namespaces, CgroupEntry& cgroup,
                           Parent parent, bool gated, child::Context& context,
                           ChildMain child_main) {
  auto report = MakePipe(Step::kReport);
  if (!report) return std::unexpected(report.error());
  Pair gate;
  if (gated) {
    auto made = MakeSockets(Step::kAwaitStart);
    if (!made) return std::unexpected(made.error());
    gate = std::move(*made);
  }
  Pair terminal;
  if (context.process->terminal) {
    auto made = MakeSockets(Step::kTerminal);
    if (!made) return std::unexpected(made.error());
    terminal = std::move(*made);
  }
  context.report = report->write_end.get();
  context.gate = gate.read_end.get();
  context.parents_ends[0] = report->read_end.get();
  context.parents_ends[1] = gate.write_end.get();
  context.terminal = terminal.write_end.get();
  context.parents_ends[2] = terminal.read_end.get();
  context.rootless = host.rootless;
  context.one_group = host.one_group;
  // Asked once: a hand sets its signals up before its first call, and a hundred system calls for
  // every child would be a fiftieth of a start.
  static const sys::SignalSet changed_signals = sys::ChangedSignals();
  static const uint64_t known_capabilities = KnownCapabilities();
  context.changed_signals = changed_signals;
  context.known_capabilities = known_capabilities;
  // Another one's end is what its pid namespace sees to.
  context.die_with_parent = parent == Parent::kCaller || host.host_pids;
  std::vector<int> procs;

  int pidfd = -1;
  sys::CloneArgs args = {};
  args.flags = namespaces | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  if (parent == Parent::kSupervisor) {
    args.flags |= CLONE_PARENT;  // exit_signal must be 0 then; it is the caller's own
  } else {
    args.exit_signal = SIGCHLD;
  }
  pid_t pid = -1;
  int error = 0;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (cgroup.v2_folder >= 0) {
      args.flags |= sys::kCloneIntoCgroup;
      args.cgroup = static_cast<uint64_t>(cgroup.v2_folder);
    }
    procs.clear();
    for (const UniqueFd& fd : cgroup.procs) procs.push_back(fd.get());
    context.cgroup_procs = {procs.data(), static_cast<uint32_t>(procs.size())};

    // From here to the restored mask nothing may return: the child is in this function, too.
    sys::SignalSet mask = 0;
    if (sys::SetSignalMask(sys::kAllSignals, &mask) != 0) return FailErrno(Step::kClone);
    pid = sys::Clone3(args);
    if (pid == 0) {
      child_main(context);
      _exit(127);
    }
    error = errno;
    (void)sys::SetSignalMask(mask, nullptr);
    if (pid > 0 || cgroup.v2_folder < 0 || !RefusesIntoCgroup(error)) break;

    // Once more, joining by hand: slower (an RCU grace period), but it works everywhere.
    auto file = OpenJoin(cgroup.v2_folder, kV2Join, 0);
    if (!file) return std::unexpected(file.error());
    cgroup.procs.push_back(std::move(*file));
    cgroup.v2_folder = -1;
    args.flags &= ~sys::kCloneIntoCgroup;
    args.cgroup = 0;
  }
  if (pid < 0) return Fail(Step::kClone, error);

  Started started;
  started.pid = pid;
  started.pidfd.reset(pidfd);
  started.report = std::move(report->read_end);
  started.gate = std::move(gate.write_end);
  started.terminal = std::move(terminal.read_end);
  if ((namespaces & CLONE_NEWNS) != 0) {
    started.mount_namespace = MountNamespaceOf(host, pidfd, pid);
  }
  return started;
}

}  // namespace caisson::launch
