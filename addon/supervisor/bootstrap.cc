// zone: native
#include "supervisor/bootstrap.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <vector>

#include "base/guard.h"
#include "launch/cgroup_kill.h"
#include "launch/patience.h"
#include "supervisor/debug.h"
#include "supervisor/kernel.h"
#include "supervisor/memfd_exec.h"
#include "supervisor/reply.h"
#include "supervisor/undo.h"
#include "supervisor/user_namespace.h"

namespace caisson {

namespace {

constexpr int kChannelFd = 3;
constexpr int kProgramFd = 4;

Result<> CheckDescriptors() {
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(kChannelFd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return FailErrno(Step::kProtocol, kChannelFd);
  }
  if (type != SOCK_SEQPACKET) return Fail(Step::kProtocol, EPROTOTYPE, kChannelFd);
  // Signal 0 to a pidfd: EBADF when it is none. ESRCH is a program that has ended already.
  if (sys::PidfdSendSignal(kProgramFd, 0) != 0 && errno != EPERM && errno != ESRCH) {
    return FailErrno(Step::kProtocol, kProgramFd);
  }
  return {};
}

// Everything inheritable comes from a program that we do not know.
void ResetInherited(const Options& options) {
  if (options.sealed) return;  // Done by the image before, and kept over its exec.
  for (int signal = 1; signal < 65; ++signal) (void)sys::SetSignalDefault(signal);
  // Nothing here is driven by signals, and one from a terminal or a service manager must not end
  // this process before what it answers for is undone.
  (void)sys::SetSignalMask(sys::kAllSignals, nullptr);
  (void)sys::CloseRange(kProgramFd + 1, ~0u, 0);
  (void)umask(0);
  (void)setsid();
  (void)chdir("/");
}

// The first image: what can only be done before, or with, the installed executable.
Failure EnterSealedImage(const Options& options, int argc, char** argv) {
  if (options.privilege == Privilege::kRootless) {
    if (auto entered = EnterUserNamespace(options.id_helpers); !entered) return entered.error();
  }
  const char* const folders[] = {options.root.c_str(), options.run.c_str()};
  return ExecSealed(folders, argc, argv);
}

Result<> Prepare(Runtime* runtime, std::string* detail) {
  const Options& options = runtime->options;
  *detail = options.root;
  if (UniqueFd store(open(options.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); !store) {
    return FailErrno(Step::kStore);
  }

  *detail = options.run;
  auto run = OpenRunFolder(options.run, options.id);
  if (!run) return std::unexpected(run.error());
  runtime->run = std::move(*run);
  if (auto made = runtime->journal.Create(runtime->run.folder.get()); !made) return made;
  SweepRunFolders(runtime->run.parent.get(), options.id);

  for (const auto& [kind, text] : {std::pair<const char*, std::string>{"store", options.root},
                                   {"scratch", "scratch/" + options.id},
                                   {"scratch", "trash/" + options.id}}) {
    auto record = runtime->journal.Append(kind, text);
    if (!record) return std::unexpected(record.error());
  }
  *detail = options.cgroup_parent;
  auto cgroups = MakeCgroupRoots(options, &runtime->journal);
  if (!cgroups) return std::unexpected(cgroups.error());
  runtime->cgroups = std::move(*cgroups);

  runtime->ids = ReadMappedIds();
  detail->clear();
  runtime->bootstrap_pid = sys::GetPid();
  runtime->bootstrap.reset(sys::PidfdOpen(runtime->bootstrap_pid));
  if (!runtime->bootstrap) return FailErrno(Step::kPidNamespace);
  return {};
}

// A subreaper inside a container is a fork of us: what is in our command line would be read there.
void HideArguments(int argc, char** argv) {
  for (int i = 0; i < argc; ++i) memset(argv[i], 0, strlen(argv[i]));
  (void)prctl(PR_SET_NAME, "caisson", 0, 0, 0);
}

// A supervisor that is killed ends when all of its containers have, and what stands still in a v1
// group does not end. It has let go of `life` before.
void LetFrozenDie(int pidfd, int life, const Runtime& runtime) {
  constexpr int kUsuallyMs = 50;
  pollfd ends[] = {{.fd = pidfd, .events = POLLIN, .revents = 0},
                   {.fd = life, .events = 0, .revents = 0}};
  while (ends[0].revents == 0 && ends[1].revents == 0) (void)poll(ends, 2, -1);
  if (poll(ends, 1, kUsuallyMs) > 0) return;
  // Those below other parents included.
  auto records = Journal::Read(runtime.run.folder.get());
  if (!records) return;
  for (const JournalRecord& record : *records) {
    if (record.kind != "cgroup") continue;
    const UniqueFd group(open(record.text.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (group) launch::ThawAll(group.get());
  }
}

// In the machine's pid namespace orphans of containers come to us, as their nearest subreaper: they
// are waited for while the supervisor lives. -1: it is not to be waited for.
int AwaitAmongOrphans(pid_t supervisor, siginfo_t* info) {
  for (;;) {
    info->si_pid = 0;
    if (waitid(P_ALL, 0, info, WEXITED | __WALL) != 0) {
      if (errno != EINTR) return -1;
    } else if (info->si_pid == supervisor) {
      return 0;
    }
  }
}

// Nothing there ends with the supervisor: its hands by themselves, containers with their groups.
// All of them are our children now, so that nobody is left to make anything when this returns,
// unless the kernel itself holds one up.
void EndOrphans(const Runtime& runtime) {
  constexpr int64_t kPatienceMs = 2000;
  const int64_t deadline = launch::NowMs() + kPatienceMs;
  while (launch::NowMs() < deadline) {
    for (const launch::Hierarchy& hierarchy : runtime.cgroups.hierarchies) {
      (void)launch::KillGroup(hierarchy, ".");
    }
    siginfo_t info;
    do {
      info.si_pid = 0;
      if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) != 0 && errno == ECHILD) return;
    } while (info.si_pid != 0);
    launch::PauseMs(1);
  }
}

// Waits for the supervisor's end, however it comes, and undoes what it has left. Returns the exit
// code.
int AwaitSupervisor(pid_t pid, int pidfd, int life, const Runtime& runtime) {
  siginfo_t info;
  if (runtime.options.host_pids) {
    if (AwaitAmongOrphans(pid, &info) != 0) return kExitLost;
    EndOrphans(runtime);
  } else {
    LetFrozenDie(pidfd, life, runtime);
    rusage usage;
    // Reaping pid 1 means that every process of its pid namespace is gone.
    if (kernel::WaitPidfd(pidfd, &info, WEXITED, &usage) != 0) return kExitLost;
  }
  if (auto ended = EndRunFolder(runtime.run.parent.get(), runtime.run.folder.get(), runtime.run.id);
      !ended) {
    Debug("undo: step %d errno %d", static_cast<int>(ended.error().step), ended.error().error);
  }
  return info.si_code == CLD_EXITED ? info.si_status : kExitLost;
}

}  // namespace

int RunSupervise(int argc, char** argv) {
  if (auto good = CheckDescriptors(); !good) {
    ReportStartFailure(kChannelFd, good.error(), "descriptor");
    return kExitStartFailed;
  }
  std::string detail;
  auto options = ParseOptions(argc - 2, argv + 2, &detail);
  if (!options) {
    ReportStartFailure(kChannelFd, options.error(), detail);
    return kExitStartFailed;
  }
  SetDebug(options->debug);
  ResetInherited(*options);

  if (!options->sealed) {
    const Failure failure = EnterSealedImage(*options, argc, argv);
    ReportStartFailure(kChannelFd, failure, "");
    return kExitStartFailed;
  }

  // An exec makes a process dumpable again.
  if (CAISSON_GUARD(kNotDumpable) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    ReportStartFailure(kChannelFd, {Step::kNonDumpable, 0, errno, 0}, "");
    return kExitStartFailed;
  }
  (void)fcntl(kChannelFd, F_SETFD, FD_CLOEXEC);
  (void)fcntl(kProgramFd, F_SETFD, FD_CLOEXEC);

  Runtime runtime;
  runtime.options = std::move(*options);
  if (auto ready = Prepare(&runtime, &detail); !ready) {
    if (runtime.run.folder) {
      (void)EndRunFolder(runtime.run.parent.get(), runtime.run.folder.get(), runtime.run.id);
    }
    ReportStartFailure(kChannelFd, ready.error(), detail);
    return kExitStartFailed;
  }

  const bool host_pids = runtime.options.host_pids;
  if (host_pids) (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

  // The supervisor cannot see its own pid in the host's namespace: it reads it from here.
  int pair[2];
  UniqueFd pidfd;
  UniqueFd life;  // ends when the supervisor lets go of its descriptors
  pid_t pid = -1;
  int life_pair[2];
  if (pipe2(life_pair, O_CLOEXEC) == 0 && pipe2(pair, O_CLOEXEC) == 0) {
    UniqueFd read_end(pair[0]);
    UniqueFd write_end(pair[1]);
    life.reset(life_pair[0]);
    const UniqueFd life_held(life_pair[1]);
    pid = kernel::Fork(host_pids ? 0 : CLONE_NEWPID, &pidfd);
    if (pid == 0) {
      write_end.reset();
      const bool told = RetryEintr([&] {
                          return read(read_end.get(), &runtime.supervisor_pid, sizeof(pid_t));
                        }) == sizeof(pid_t);
      read_end.reset();
      if (!told)
        _exit(kExitStartFailed);  // The bootstrap process was killed: it had begun nothing.
      HideArguments(argc, argv);
      runtime.channel.reset(kChannelFd);
      runtime.program.reset(kProgramFd);
      Supervise(std::move(runtime));
    }
    if (pid > 0) (void)write(write_end.get(), &pid, sizeof pid);
  }
  if (pid < 0) {
    const Failure failure = {Step::kPidNamespace, 0, errno, 0};
    (void)EndRunFolder(runtime.run.parent.get(), runtime.run.folder.get(), runtime.run.id);
    ReportStartFailure(kChannelFd, failure, "");
    return kExitStartFailed;
  }
  (void)close(kChannelFd);
  (void)close(kProgramFd);
  return AwaitSupervisor(pid, pidfd.get(), life.get(), runtime);
}

}  // namespace caisson
