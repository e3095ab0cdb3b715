// zone: native
#include "oci/one_shot.h"

#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string_view>

#include "child/child.h"
#include "launch/launch.h"
#include "plan/parse.h"
#include "supervisor/cgroup_root.h"
#include "supervisor/cgroup_tree.h"
#include "supervisor/kernel.h"
#include "supervisor/memfd_exec.h"
#include "supervisor/packet.h"
#include "sys/mount.h"

namespace caisson {

namespace {

using protocol::HookPoint;
using protocol::StdioKind;

constexpr int kBodyFd = 3;
constexpr int kReportFd = 4;
constexpr int kStartFd = 5;
constexpr int kFailed = 125;  // as docker, podman and env(1) have it for their own failures

struct Asked {
  bool hold = false;
  bool sealed = false;
  const char* pid_file = nullptr;
  const char* console_socket = nullptr;
};

void Tell(const std::string& line) {
  const std::string text = line + '\n';
  (void)!write(kReportFd, text.data(), text.size());
}

int TellFailure(const char* word, const Failure& failure, const std::string& detail) {
  std::string line = std::string(word) + ' ' + std::to_string(static_cast<int>(failure.step)) +
                     ' ' + std::to_string(failure.error) + ' ' + std::to_string(failure.index);
  // One line is one fact, whatever a path has in it.
  if (!detail.empty()) line += ' ';
  for (const char c : detail) line += c == '\n' ? ' ' : c;
  Tell(line);
  return kFailed;
}

int TellFailure(const Failure& failure, const std::string& detail = {}) {
  return TellFailure("failed", failure, detail);
}

bool ParseArguments(int argc, char** argv, Asked* asked) {
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--hold") {
      asked->hold = true;
    } else if (argument == "--sealed") {
      asked->sealed = true;
    } else if (argument == "--pid-file" && i + 1 < argc) {
      asked->pid_file = argv[++i];
    } else if (argument == "--console-socket" && i + 1 < argc) {
      asked->console_socket = argv[++i];
    } else {
      return false;
    }
  }
  return true;
}

Result<std::vector<uint8_t>> ReadBody() {
  std::vector<uint8_t> body;
  uint8_t buffer[16 * 1024];
  for (;;) {
    const ssize_t got = RetryEintr([&] { return read(kBodyFd, buffer, sizeof buffer); });
    if (got < 0) return FailErrno(Step::kParse);
    if (got == 0) break;
    body.insert(body.end(), buffer, buffer + got);
    if (body.size() > protocol::kMaxBody) return Fail(Step::kParse, E2BIG);
  }
  (void)close(kBodyFd);
  return body;
}

std::string PathOf(const UniqueFd& folder) {
  return "/proc/self/fd/" + std::to_string(folder.get());
}

// One container and the process that answers for it.
class OneShot {
 public:
  OneShot(const Asked& asked, const LaunchPlan& plan) : asked_(asked), plan_(plan) {}

  int Run();

 private:
  [[nodiscard]] Result<> Prepare();
  [[nodiscard]] Result<> MakeGroup();
  [[nodiscard]] Result<> Start();
  // Until the child waits at its next gate.
  [[nodiscard]] Result<> AwaitGate();
  [[nodiscard]] Result<> OpenGate();
  [[nodiscard]] Result<> ReadReport();
  [[nodiscard]] Result<> RunHooks(HookPoint point, const char* status, uint32_t first = 0);
  void WarnHooks(HookPoint point, const char* status);
  [[nodiscard]] Result<> WritePidFile() const;
  [[nodiscard]] Result<> SendTerminal();
  [[nodiscard]] Result<> Hold();
  [[nodiscard]] siginfo_t AwaitEnd();
  [[nodiscard]] int TellFailedStart(Failure failure);
  [[nodiscard]] Result<> RemoveGroup();
  [[nodiscard]] std::string DetailOf(const Failure& failure) const;

  const Asked& asked_;
  const LaunchPlan& plan_;
  launch::Host host_;
  launch::Prepared prepared_;
  launch::Cgroup group_;
  launch::Started started_;
  UniqueFd signals_;
  UniqueFd terminal_;  // the container's end, held so that it does not end before the container
  std::string kernel_log_;
};

Result<> OneShot::Prepare() {
  const BundlePlan& bundle = plan_.bundle;
  host_.proc.reset(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!host_.proc) return FailErrno(Step::kSlimRoot);
  // A folder that no hook looks into.
  host_.cover = "/proc/fs";
  host_.attach_at = bundle.rootfs;
  prepared_.rootfs.reset(
      sys::OpenTree(AT_FDCWD, bundle.rootfs, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!prepared_.rootfs) return FailErrno(Step::kRootMount);
  prepared_.gated = true;
  for (uint32_t i = 0; i < bundle.namespaces.count; ++i) {
    const NamespaceItem& item = bundle.namespaces.items[i];
    const launch::Part part = item.kind == CLONE_NEWNET   ? launch::Part::kNet
                              : item.kind == CLONE_NEWIPC ? launch::Part::kIpc
                                                          : launch::Part::kUts;
    UniqueFd file(open(item.path, O_RDONLY | O_CLOEXEC));
    // Only a namespace of that kind can be entered as one: the child's setns() says so.
    if (!file) return FailErrno(Step::kJoinNamespaces, i);
    prepared_.kit[part] = std::move(file);
  }
  return {};
}

// A group of its own in every hierarchy there is, as other runtimes do it.
Result<> OneShot::MakeGroup() {
  if (plan_.bundle.cgroups_path == nullptr) return {};
  const std::string path = plan_.bundle.cgroups_path;
  const size_t slash = path.rfind('/');
  Options options;
  if (slash != std::string::npos) options.cgroup_parent = '/' + path.substr(0, slash);
  auto roots = MakeCgroupRoots(options, nullptr);
  if (!roots) return std::unexpected(roots.error());
  host_.hierarchies = std::move(roots->hierarchies);
  host_.device_control = roots->device_control;
  host_.device_program = std::move(roots->device_program);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  auto group = launch::MakeCgroup(host_, name, ~uint64_t{0}, plan_.device_rules);
  if (!group) return std::unexpected(group.error());
  group_ = std::move(*group);
  // It may lie right below the root of its hierarchy, which gives nothing on.
  for (size_t i = 0; i < host_.hierarchies.size(); ++i) {
    const launch::Hierarchy& hierarchy = host_.hierarchies[i];
    if (!hierarchy.v2) StartFromParent(PathOf(hierarchy.folder), PathOf(group_.folders[i]));
  }
  return launch::LimitCgroup(host_, plan_.limits, group_);
}

Result<> OneShot::Start() {
  int stdio[3];
  for (int i = 0; i < 3; ++i) {
    stdio[i] = plan_.process.stdio[i] == StdioKind::kDescriptor ? i : -1;
  }
  auto started =
      launch::Launch(host_, plan_, prepared_, group_, stdio, launch::Parent::kCaller, &kernel_log_);
  if (!started) return std::unexpected(started.error());
  started_ = std::move(*started);
  prepared_ = {};
  return {};
}

// A failure is a record; nothing is an exec, or a death. Either way there is no further gate.
Result<> OneShot::ReadReport() {
  Failure failure;
  const ssize_t got =
      RetryEintr([&] { return read(started_.report.get(), &failure, sizeof failure); });
  if (got == sizeof failure) return std::unexpected(failure);
  if (got != 0) return Fail(Step::kReport, got < 0 ? errno : EBADMSG);
  return {};
}

Result<> OneShot::AwaitGate() {
  char byte = 0;
  const ssize_t got = RetryEintr([&] { return read(started_.gate.get(), &byte, 1); });
  if (got == 1) return {};
  if (auto report = ReadReport(); !report) return report;
  return Fail(Step::kReport, ECHILD);
}

Result<> OneShot::OpenGate() {
  if (write(started_.gate.get(), "", 1) == 1) return {};
  if (auto report = ReadReport(); !report) return report;
  return Fail(Step::kReport, ECHILD);
}

// Those of a point from `first` on, until one fails.
Result<> OneShot::RunHooks(HookPoint point, const char* status, uint32_t first) {
  const BundlePlan& bundle = plan_.bundle;
  for (uint32_t i = first; i < bundle.hooks.count; ++i) {
    const HookItem& hook = bundle.hooks.items[i];
    if (hook.point != point) continue;
    const int error = child::RunHook(hook, status, started_.pid, bundle.hook_state);
    if (error != 0) return Fail(Step::kHook, error, i);
  }
  return {};
}

// What has no way back any more: each is run, and said.
void OneShot::WarnHooks(HookPoint point, const char* status) {
  Result<> run = RunHooks(point, status);
  while (!run) {
    (void)TellFailure("warning", run.error(), DetailOf(run.error()));
    run = RunHooks(point, status, run.error().index + 1);
  }
}

Result<> OneShot::WritePidFile() const {
  if (asked_.pid_file == nullptr) return {};
  const std::string path = asked_.pid_file;
  const std::string fresh = path + ".caisson";
  UniqueFd file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return FailErrno(Step::kRunFolder);
  const std::string text = std::to_string(started_.pid);
  const bool whole =
      write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  // Whoever waits for the file finds all of it.
  if (!whole || rename(fresh.c_str(), path.c_str()) != 0) {
    const auto failure = FailErrno(Step::kRunFolder);
    (void)unlink(fresh.c_str());
    return failure;
  }
  return {};
}

// The master, with the terminal's name as the message.
Result<> OneShot::SendTerminal() {
  if (!plan_.process.terminal) return {};
  auto ends = ReceiveTerminal(started_.terminal.get());
  if (!ends) return std::unexpected(ends.error());
  terminal_ = std::move(ends->slave);

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string_view path = asked_.console_socket;
  if (path.size() >= sizeof address.sun_path) return Fail(Step::kTerminal, ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket ||
      connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno(Step::kTerminal);
  }
  char name[] = "/dev/pts/ptmx";
  const iovec part = {name, sizeof name - 1};
  const int master = ends->master.get();
  const int error = SendPacket(socket.get(), {&part, 1}, {&master, 1}, Wait::kBlock);
  if (error != 0) return Fail(Step::kTerminal, error);
  return {};
}

Result<> OneShot::Hold() {
  if (!asked_.hold) return {};
  pollfd watched[] = {{.fd = kStartFd, .events = POLLIN, .revents = 0},
                      {.fd = started_.pidfd.get(), .events = POLLIN, .revents = 0},
                      {.fd = signals_.get(), .events = POLLIN, .revents = 0}};
  for (;;) {
    if (poll(watched, 3, -1) < 0) return FailErrno(Step::kAwaitStart);
    if (watched[1].revents != 0) return Fail(Step::kReport, ECHILD);
    if (watched[2].revents != 0) {
      // It has no process yet that could handle one.
      return Fail(Step::kAwaitStart, ECANCELED);
    }
    char byte = 0;
    if (watched[0].revents == 0) continue;
    if (read(kStartFd, &byte, 1) == 1) return {};
    return Fail(Step::kAwaitStart, ECANCELED);
  }
}

siginfo_t OneShot::AwaitEnd() {
  pollfd watched[] = {{.fd = started_.pidfd.get(), .events = POLLIN, .revents = 0},
                      {.fd = signals_.get(), .events = POLLIN, .revents = 0}};
  while (poll(watched, 2, -1) >= 0 && watched[0].revents == 0) {
    signalfd_siginfo signal = {};
    if (read(signals_.get(), &signal, sizeof signal) != sizeof signal) continue;
    (void)sys::PidfdSendSignal(started_.pidfd.get(), static_cast<int>(signal.ssi_signo));
  }
  siginfo_t info = {};
  rusage usage;
  (void)kernel::WaitPidfd(started_.pidfd.get(), &info, WEXITED, &usage);
  return info;
}

std::string OneShot::DetailOf(const Failure& failure) const {
  const auto item = [&](const auto& list, auto name) -> std::string {
    return failure.index < list.count ? name(list.items[failure.index]) : "";
  };
  switch (failure.step) {
    case Step::kHook:
      return item(plan_.bundle.hooks, [](const HookItem& hook) { return hook.path; });
    case Step::kBindSource:
      return item(plan_.mounts, [](const MountItem& mount) { return mount.source; });
    case Step::kMount:
    case Step::kMountTarget:
      return item(plan_.mounts, [](const MountItem& mount) { return mount.target; });
    case Step::kSysctl:
      return item(plan_.sysctls, [](const SysctlItem& sysctl) { return sysctl.key; });
    case Step::kDevices:
      return item(plan_.devices, [](const DeviceItem& device) { return device.path; });
    case Step::kJoinNamespaces:
      return item(plan_.bundle.namespaces, [](const NamespaceItem& space) { return space.path; });
    case Step::kRootMount:
      return plan_.bundle.rootfs;
    case Step::kFindExecutable:
    case Step::kExec:
      return plan_.process.argv[0];
    default:
      return kernel_log_;
  }
}

Result<> OneShot::RemoveGroup() {
  if (group_.name.empty()) return {};
  return launch::RemoveCgroup(host_, group_.name);
}

int OneShot::TellFailedStart(Failure failure) {
  // A limit too small for the start itself kills it wherever it is.
  if (!group_.name.empty() && launch::OomKills(host_, group_.name) > 0) {
    failure = {.step = Step::kOutOfMemory, .error = ENOMEM};
  }
  (void)RemoveGroup();
  return TellFailure(failure, DetailOf(failure));
}

int OneShot::Run() {
  sigset_t all;
  (void)sigfillset(&all);
  (void)sigdelset(&all, SIGCHLD);
  signals_.reset(signalfd(-1, &all, SFD_CLOEXEC));
  Result<> done;
  if (plan_.process.terminal != (asked_.console_socket != nullptr)) {
    done = Fail(Step::kTerminal, EINVAL);
  }
  if (done) done = Prepare();
  if (done) done = MakeGroup();
  if (done) done = Start();
  if (!done) return TellFailedStart(done.error());

  if (plan_.bundle.hooks.count != 0) {
    done = AwaitGate();
    if (done) done = RunHooks(HookPoint::kPrestart, "creating");
    if (done) done = RunHooks(HookPoint::kCreateRuntime, "creating");
    if (done) done = OpenGate();
  }
  if (done) done = AwaitGate();
  if (done) done = SendTerminal();
  if (done) done = WritePidFile();
  if (done) {
    Tell("created " + std::to_string(started_.pid));
    done = Hold();
  }
  if (done) done = OpenGate();
  if (done) done = ReadReport();
  if (done) {
    Tell("started " + std::to_string(started_.pid));
    WarnHooks(HookPoint::kPoststart, "running");
  } else {
    (void)sys::PidfdSendSignal(started_.pidfd.get(), SIGKILL);
  }

  const siginfo_t info = AwaitEnd();
  started_.mount_namespace.reset();
  WarnHooks(HookPoint::kPoststop, "stopped");
  if (!done) return TellFailedStart(done.error());
  if (auto removed = RemoveGroup(); !removed) (void)TellFailure("warning", removed.error(), "");
  const bool exited = info.si_code == CLD_EXITED;
  Tell((exited ? "exited " : "signaled ") + std::to_string(info.si_status));
  return exited ? info.si_status : 128 + info.si_status;
}

}  // namespace

int RunOneShot(int argc, char** argv) {
  Asked asked;
  if (!ParseArguments(argc, argv, &asked)) {
    return TellFailure({.step = Step::kReadOptions, .error = EINVAL});
  }
  if (!asked.sealed) {
    // As a supervisor: a container that gets hold of /proc/PID/exe finds a copy.
    const char* const folders[] = {"/run", "/tmp"};
    return TellFailure(ExecSealed(folders, argc, argv));
  }
  // An exec makes a process dumpable again.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return TellFailure({.step = Step::kNonDumpable, .error = errno});
  }
  for (int signal = 1; signal < 65; ++signal) (void)sys::SetSignalDefault(signal);
  (void)sys::SetSignalMask(sys::kAllSignals, nullptr);
  for (const int fd : {kBodyFd, kReportFd, kStartFd}) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  (void)sys::CloseRange(kStartFd + 1, ~0u, 0);

  auto body = ReadBody();
  if (!body) return TellFailure(body.error());
  Arena arena(ParseArenaBytes(body->size()));
  const auto plan = ParseBundle(*body, arena);
  if (!plan) return TellFailure(plan.error());
  return OneShot(asked, **plan).Run();
}

}  // namespace caisson
