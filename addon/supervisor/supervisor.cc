// zone: native
#include <signal.h>
#include <stdio.h>

#include <utility>

#include "supervisor/bootstrap.h"
#include "supervisor/debug.h"
#include "supervisor/folders.h"
#include "supervisor/group_parents.h"
#include "supervisor/imports.h"
#include "supervisor/kernel.h"
#include "supervisor/reply.h"
#include "supervisor/requests.h"
#include "supervisor/slim_root.h"
#include "supervisor/tasks.h"

namespace caisson {

using protocol::Tag;

namespace {

constexpr int kInnerHands = 2;
// How long the containers may take to die. After that this process ends: the kernel kills what is
// left, the bootstrap process undoes the rest.
constexpr uint64_t kPatienceMs = 700;
// A runtime whose two processes were killed together may still have been dying when the bootstrap
// process looked for dead ones.
constexpr uint64_t kSecondSweepMs = 1000;

// A pid in the host's namespace, from the fdinfo of a pidfd seen through the host's procfs.
uint64_t HostPid(int host_proc, int pidfd) {
  char path[48];
  (void)snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
  UniqueFd file(openat(host_proc, path, O_RDONLY | O_CLOEXEC));
  char text[512];
  const ssize_t bytes = file ? read(file.get(), text, sizeof text - 1) : -1;
  if (bytes <= 0) return 0;
  text[bytes] = '\0';
  const char* line = strstr(text, "\nPid:");
  return line == nullptr ? 0 : strtoull(line + 5, nullptr, 10);
}

// The supervisor: what its parts know of one another, its start and its end.
class Supervisor {
 public:
  explicit Supervisor(Runtime runtime)
      : runtime_(std::move(runtime)),
        scratch_("scratch/" + runtime_.options.id),
        channel_(loop_, std::move(runtime_.channel)),
        hands_(loop_, context_,
               [this](pid_t pid) { return tasks_.Claims(pid) || imports_.Claims(pid); }),
        pools_(loop_, hands_, scratch_, !runtime_.cgroups.hierarchies.empty(),
               runtime_.cgroups.controls),
        parents_(hands_, &runtime_.journal, runtime_.options, context_.cgroup_bases),
        tasks_(loop_, hands_, pools_, parents_, channel_, context_.host,
               !runtime_.cgroups.hierarchies.empty()),
        folders_(hands_, pools_, channel_, &runtime_.journal),
        imports_(loop_, hands_, channel_, scratch_),
        requests_(channel_, tasks_, folders_, imports_, pools_,
                  {.welcome = [this] { return Welcome(); },
                   .refused = [this] { End(); },
                   .close =
                       [this](uint32_t id) {
                         close_id_ = id;
                         closing_ = true;
                         End();
                       }}) {}

  Result<> Start(std::string* detail);
  [[noreturn]] void Run();
  void ReportFailure(const Failure& failure, const std::string& detail) {
    channel_.Failed(0, failure, detail);
  }

 private:
  FieldWriter Welcome() const;
  void End();
  void Undo();
  [[noreturn]] void Exit(int code);
  void SubmitOuter(JobKind kind, std::function<void(Message)> done);

  Runtime runtime_;
  std::string scratch_;
  HandContext context_;
  UniqueFd host_namespace_;
  Loop loop_;
  Channel channel_;
  Hands hands_;
  Pools pools_;
  GroupParents parents_;
  Tasks tasks_;
  Folders folders_;
  Imports imports_;
  Requests requests_;
  std::vector<uint64_t> hand_pids_;
  bool ending_ = false;
  bool undoing_ = false;
  bool bootstrap_dead_ = false;
  bool closing_ = false;  // by a Close, which is answered
  uint32_t close_id_ = 0;
};

Result<> Supervisor::Start(std::string* detail) {
  if (auto opened = loop_.Open(); !opened) return opened;
  UniqueFd host_proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  host_namespace_.reset(open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!host_proc || !host_namespace_) return FailErrno(Step::kMountNamespace);

  context_.runtime_id = runtime_.options.id;
  context_.run_parent_fd = runtime_.run.parent.get();
  context_.run_folder_fd = runtime_.run.folder.get();
  context_.host.hierarchies = std::move(runtime_.cgroups.hierarchies);
  context_.cgroup_bases = std::move(runtime_.cgroups.bases);
  context_.host.device_control = runtime_.cgroups.device_control;
  context_.host.device_program = std::move(runtime_.cgroups.device_program);
  hands_.set_host_pids(runtime_.options.host_pids);
  if (auto started = hands_.StartOuter(); !started) return started;
  hands_.set_host_namespace(host_namespace_.get());

  if (auto entered = EnterSlimRoot(runtime_.options, &context_.host, detail); !entered) {
    return entered;
  }
  context_.host.one_group = context_.host.rootless && runtime_.ids.gids == 1;
  if (auto started = hands_.StartInner(kInnerHands); !started) return started;
  for (const int pidfd : hands_.pidfds()) hand_pids_.push_back(HostPid(host_proc.get(), pidfd));
  return {};
}

FieldWriter Supervisor::Welcome() const {
  FieldWriter body;
  body.U64(Tag::kVersion, protocol::kVersion)
      .U64(Tag::kCgroupMode, static_cast<uint64_t>(runtime_.cgroups.mode))
      .U64(Tag::kControls, runtime_.cgroups.controls)
      .U64(Tag::kSupervisorPid, static_cast<uint64_t>(runtime_.supervisor_pid))
      .U64(Tag::kBootstrapPid, static_cast<uint64_t>(runtime_.bootstrap_pid))
      .U64(Tag::kMappedUids, runtime_.ids.uids)
      .U64(Tag::kMappedGids, runtime_.ids.gids);
  for (const uint64_t pid : hand_pids_) body.U64(Tag::kHandPid, pid);
  return body;
}

void Supervisor::SubmitOuter(JobKind kind, std::function<void(Message)> done) {
  Job job;
  job.who = Who::kOuter;
  job.prepare = [kind](Message& message) {
    message.kind = kind;
    return true;
  };
  job.done = std::move(done);
  hands_.Submit(std::move(job));
}

void Supervisor::Run() {
  hands_.Watch();
  channel_.Open([this](Request request) { requests_.Handle(std::move(request)); },
                [this] { End(); });
  // Of the program: a forked sibling of it may hold the channel open. Of the bootstrap process:
  // without it nobody answers for us.
  Loop::Token program = loop_.Watch(runtime_.program.get(), EPOLLIN, [&](uint32_t) {
    loop_.Forget(&program);
    End();
  });
  Loop::Token bootstrap = loop_.Watch(runtime_.bootstrap.get(), EPOLLIN, [&](uint32_t) {
    loop_.Forget(&bootstrap);
    bootstrap_dead_ = true;
    End();
  });
  (void)loop_.After(kSecondSweepMs, [this] {
    if (!ending_) SubmitOuter(JobKind::kSweep, nullptr);
  });
  loop_.Run();
  Exit(kExitClean);
}

void Supervisor::End() {
  if (ending_) return;
  ending_ = true;
  Debug("ending, %zu tasks", tasks_.size());
  channel_.StopReading();
  const auto patience = std::make_shared<Loop::Timer>(loop_.After(kPatienceMs, [this] {
    Debug("out of patience, %zu tasks", tasks_.size());
    // With the bootstrap process gone nobody comes after us: what can be undone now, is.
    if (!bootstrap_dead_) Exit(kExitLost);
    Undo();
  }));
  const auto parts = std::make_shared<int>(2);
  const auto gone = [this, patience, parts] {
    if (--*parts != 0) return;
    // Nobody may make what is being undone.
    hands_.DismissInner([this, patience] {
      loop_.Cancel(patience.get());
      Undo();
    });
  };
  tasks_.KillAll(gone);
  imports_.KillAll(gone);
}

void Supervisor::Undo() {
  if (std::exchange(undoing_, true)) return;
  pools_.Close();
  SubmitOuter(JobKind::kUndo, [this](Message reply) {
    if (!reply.ok()) {
      // The bootstrap process tries again, with nothing of ours alive.
      Debug("undo: step %d errno %d", static_cast<int>(reply.failure.step), reply.failure.error);
      Exit(kExitLost);
    }
    if (closing_) channel_.Done(close_id_);
    channel_.Flush([this] { Exit(kExitClean); });
  });
}

void Supervisor::Exit(int code) {
  _exit(code);
}

}  // namespace

void Supervise(Runtime runtime) {
  auto supervisor = std::make_unique<Supervisor>(std::move(runtime));
  std::string detail;
  if (auto started = supervisor->Start(&detail); !started) {
    supervisor->ReportFailure(started.error(), detail);
    _exit(kExitStartFailed);
  }
  supervisor->Run();
}

}  // namespace caisson
