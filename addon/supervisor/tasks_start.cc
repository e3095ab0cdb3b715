// zone: native
#include <fcntl.h>
#include <signal.h>

#include "base/guard.h"
#include "supervisor/children.h"
#include "supervisor/debug.h"
#include "supervisor/kernel.h"
#include "supervisor/packet.h"
#include "supervisor/tasks.h"

namespace caisson {

using protocol::Reason;
using protocol::StdioKind;
using protocol::Tag;
using protocol::Type;

Task* Tasks::Find(uint32_t id) {
  const auto found = tasks_.find(id);
  return found == tasks_.end() ? nullptr : found->second.get();
}

void Tasks::Launch(Request request) {
  auto read = ReadLaunchRequest(request.body->bytes(), request.fds.size());
  if (!read) return answers_.Failed(request.id, read.error());
  if (ending_) return answers_.Failed(request.id, {Step::kProtocol, 0, ESHUTDOWN, 0});

  auto made = std::make_unique<Task>();
  Task* task = made.get();
  task->id = request.id;
  task->want_started = read->want_started;
  task->wants_terminal = read->terminal;
  task->with_init = read->init;
  task->own_filter = read->own_filter;
  task->timeout_ms = read->timeout_ms;
  task->group = std::move(read->group);
  task->folder = std::move(read->folder);
  task->own_group = task->group.empty();
  task->own_folder = task->folder.empty();
  task->user_namespace = read->user_namespace;
  task->controls = read->controls | HierarchiesFor(read->may_mount);
  task->limits = std::move(read->limits);
  // Another one must not have its devices, nor is in as many hierarchies.
  task->fresh_group = read->own_device_rules || !read->group_parent.empty() ||
                      (task->controls & kEveryHierarchy) != 0;
  if (!with_groups_) task->group.clear();
  if (auto found = FindPeers(task, *read); !found) {
    return answers_.Failed(request.id, found.error());
  }

  task->start = std::make_unique<Task::Start>();
  Task::Start& start = *task->start;
  start.body = std::move(request.body);
  start.layers = std::move(read->layers);
  start.namespaces = read->namespaces;
  start.may_mount = read->may_mount;
  start.labelled = read->labelled;
  start.group_parent = std::move(read->group_parent);
  start.log_path = std::move(read->log_path);
  start.log_max_bytes = read->log_max_bytes;
  start.log_files = read->log_files;
  size_t next = 0;
  for (size_t i = 0; i < 3; ++i) {
    task->stdio_kinds[i] = static_cast<uint8_t>(read->stdio[i]);
    if (read->stdio[i] == StdioKind::kDescriptor) start.stdio[i] = std::move(request.fds[next++]);
  }
  if (auto pipes = MakeLogPipes(task); !pipes) return answers_.Failed(request.id, pipes.error());

  tasks_.emplace(request.id, std::move(made));
  if (task->own_folder && read->warm && !read->labelled) pools_.Warm(start.layers);
  pools_.NoteStart(++starting_);
  if (!start.group_parent.empty() && with_groups_) {
    MakeParent(task, read->sources);
  } else {
    OpenSources(task, read->sources);
  }
}

uint64_t Tasks::HierarchiesFor(bool may_mount) const {
  if (!may_mount || !CAISSON_GUARD(kOwnHierarchies)) return 0;
  uint64_t all = 0;
  for (const launch::Hierarchy& hierarchy : host_.hierarchies) all |= hierarchy.controls;
  return all & kEveryHierarchy;
}

void Tasks::MakeParent(Task* task, uint32_t sources) {
  const auto ready = [this, id = task->id, sources](Failure failure, uint64_t missing) {
    Task* waiting = Find(id);
    if (waiting == nullptr) return;
    missing &= waiting->controls;
    if (failure.step == Step::kNone && missing != 0) {
      failure = {Step::kCgroupParent, 0, EBUSY, static_cast<uint32_t>(missing)};
    }
    if (failure.step == Step::kNone) return OpenSources(waiting, sources);
    loop_.Soon([this, id, failure] {
      if (Task* refused = Find(id)) FailStart(refused, failure, {});
    });
  };
  parents_.Make(task->start->group_parent, ready);
}

// Those whose namespaces a container is to share run. What such a one has of the host, the new one
// has of the host, too.
Result<> Tasks::FindPeers(Task* task, const LaunchRequest& request) {
  // In a pid namespace of ours, orphans of one without its own would become children of ours. In
  // the machine's, there is none of anybody's, and only its group can end a container.
  const bool own_pids = (request.namespaces & CLONE_NEWPID) != 0;
  const bool peers_pids = request.shared[static_cast<size_t>(Shared::kPid)] != 0;
  if (host_.host_pids ? own_pids || peers_pids || !with_groups_ : !own_pids && !peers_pids) {
    return Fail(Step::kParse, ENOSYS, static_cast<uint32_t>(Tag::kNamespaces));
  }
  uint64_t shared = 0;
  for (uint32_t i = 0; i < kSharedKinds; ++i) {
    task->peers[i] = request.shared[i];
    if (task->peers[i] == 0) continue;
    const Task* peer = Find(task->peers[i]);
    if (peer == nullptr || peer->kind != Kind::kContainer || peer->state != State::kRunning) {
      return Fail(Step::kShareNamespace, ESRCH, i);
    }
    const uint64_t flag = kSharedNamespaces[i].flag;
    shared |= flag & ~peer->host_namespaces;
  }
  task->host_namespaces = launch::kJoinedNamespaces & ~(request.namespaces | shared);
  task->own_pids = own_pids;
  // Who may mount could mount the group itself, and set it to anything.
  task->group_used = !task->own_pids || task->fresh_group || request.may_mount;
  return {};
}

// Their pidfds, as late as possible. False: one has ended meanwhile.
bool Tasks::TakePeers(const Task& task, Message& message, size_t* missing) {
  for (size_t i = 0; i < kSharedKinds; ++i) {
    if (task.peers[i] == 0 || (task.host_namespaces & kSharedNamespaces[i].flag) != 0) continue;
    const Task* peer = Find(task.peers[i]);
    *missing = i;
    if (peer == nullptr || peer->state != State::kRunning) return false;
    message.peer(i).reset(fcntl(peer->pidfd.get(), F_DUPFD_CLOEXEC, 3));
  }
  return true;
}

void Tasks::Exec(Request request) {
  auto read = ReadExecRequest(request.body->bytes(), request.fds.size());
  if (!read) return answers_.Failed(request.id, read.error());
  Task* container = Find(read->container);
  if (ending_ || container == nullptr || container->kind != Kind::kContainer ||
      container->state != State::kRunning) {
    return answers_.Failed(request.id, {Step::kNotRunning, 0, ESRCH, 0});
  }

  // It would be born standing still.
  if (container->frozen) return answers_.Failed(request.id, {Step::kNotRunning, 0, EBUSY, 0});

  auto made = std::make_unique<Task>();
  Task* task = made.get();
  task->id = request.id;
  task->kind = Kind::kExec;
  task->container = read->container;
  task->want_started = read->want_started;
  task->wants_terminal = read->terminal;
  task->own_filter = read->own_filter;
  task->timeout_ms = read->timeout_ms;
  if (!container->group.empty()) {
    task->group = container->group + "/e" + std::to_string(container->next_exec++);
    task->controls = container->controls | HierarchiesFor(read->may_mount);
    if (LimitsMemory(*task)) task->oom_before = launch::OomKills(host_, container->group);
    container->group_used = true;
  }
  task->start = std::make_unique<Task::Start>();
  task->start->body = std::move(request.body);
  size_t next = 0;
  for (size_t i = 0; i < 3; ++i) {
    if (read->stdio[i] == StdioKind::kDescriptor) {
      task->start->stdio[i] = std::move(request.fds[next++]);
    }
  }
  tasks_.emplace(request.id, std::move(made));
  ++starting_;
  SubmitStart(task);
}

Result<> Tasks::MakeLogPipes(Task* task) {
  Task::Start& start = *task->start;
  // Somebody has to read a terminal, or what writes to it stops.
  if (start.log_path.empty() && !task->wants_terminal) return {};
  UniqueFd ends[2];
  for (size_t i = 1; i < 3; ++i) {
    if (task->wants_terminal) break;
    if (task->stdio_kinds[i] != static_cast<uint8_t>(StdioKind::kLog)) continue;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) return FailErrno(Step::kLog);
    ends[i - 1].reset(pair[0]);
    start.stdio[i].reset(pair[1]);
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) return FailErrno(Step::kLog);
  }
  task->log = std::make_unique<LogWriter>(
      loop_, jobs_, LogWriter::Options{start.log_path, start.log_max_bytes, start.log_files},
      std::move(ends[0]), std::move(ends[1]));
  return {};
}

void Tasks::OpenSources(Task* task, uint32_t sources) {
  if (sources == 0) return SubmitStart(task);
  const uint32_t id = task->id;
  Job job;
  job.who = Who::kOuter;
  job.urgency = Urgency::kStart;
  job.prepare = [body = task->start->body](Message& message) {
    message.kind = JobKind::kSources;
    message.body = body;
    return true;
  };
  job.done = [this, id, sources](Message reply) {
    Task* opened = Find(id);
    if (opened == nullptr) return;
    if (!reply.ok()) return FailStart(opened, reply.failure, std::move(reply.text));
    if (reply.more.size() != sources) {
      return FailStart(opened, {Step::kBindSource, 0, EBADF, 0}, {});
    }
    opened->start->sources = std::move(reply.more);
    SubmitStart(opened);
  };
  jobs_.Submit(std::move(job));
}

void Tasks::SubmitStart(Task* task) {
  const uint32_t id = task->id;
  Job job;
  job.urgency = Urgency::kStart;
  job.makes_process = true;
  job.prepare = [this, id](Message& message) {
    Task* ready = Find(id);
    if (ready == nullptr) return false;
    // Killed while it waited: nothing was made yet, and nothing will be.
    if (ready->kill_wanted || ending_) {
      loop_.Soon([this, id] {
        if (Task* killed = Find(id)) FailStart(killed, {Step::kClone, 0, ECANCELED, 0}, {});
      });
      return false;
    }
    ready->state = State::kInHand;
    return ready->kind == Kind::kExec ? PrepareExec(ready, message)
                                      : PrepareContainer(ready, message);
  };
  job.done = [this, id](Message reply) { OnCloned(id, std::move(reply)); };
  jobs_.Submit(std::move(job));
}

namespace {

void PutStdio(Task::Start& start, Message& message) {
  message.body = start.body;
  message.fd(Role::kStdin) = std::move(start.stdio[0]);
  message.fd(Role::kStdout) = std::move(start.stdio[1]);
  message.fd(Role::kStderr) = std::move(start.stdio[2]);
}

}  // namespace

bool Tasks::PrepareContainer(Task* task, Message& message) {
  Task::Start& start = *task->start;
  if (size_t missing = 0; !TakePeers(*task, message, &missing)) {
    loop_.Soon([this, id = task->id, missing] {
      const Failure failure = {Step::kShareNamespace, 0, ESRCH, static_cast<uint32_t>(missing)};
      if (Task* late = Find(id)) FailStart(late, failure, {});
    });
    return false;
  }
  message.kind = JobKind::kLaunch;
  PutStdio(start, message);
  message.more = std::move(start.sources);
  // What is prepared has no label, and a file system gets one when it is made.
  const bool prepared = !task->user_namespace && !start.labelled;
  if (prepared) message.PutKit(pools_.TakeKit());
  if (task->own_folder) {
    Pools::Slot slot = pools_.TakeSlot(prepared ? start.layers : std::vector<std::string>{});
    task->folder = std::move(slot.folder);
    task->list = slot.list;
    // Who may mount could change the file system itself, of which the next one must not know.
    if (slot.mount_namespace && !start.may_mount) {
      task->rootfs.reset(fcntl(slot.rootfs.get(), F_DUPFD_CLOEXEC, 3));
    }
    message.fd(Role::kMountNamespace) = std::move(slot.mount_namespace);
    message.fd(Role::kRootfs) = std::move(slot.rootfs);
  }
  if (task->own_group) {
    task->group = task->fresh_group ? pools_.FreshGroup()
                                    : pools_.TakeGroup(task->limits, &task->group_state);
    if (!start.group_parent.empty() && !task->group.empty()) {
      task->group.insert(0, parents_.PrefixOf(start.group_parent));
    }
  }
  message.fields.String(JobTag::kFolder, task->folder)
      .U64(JobTag::kFolderFate,
           static_cast<uint64_t>(task->own_folder ? Fate::kRecycle : Fate::kLeave))
      .String(JobTag::kGroup, task->group)
      .U64(JobTag::kControls, task->controls)
      .U64(JobTag::kGroupState, static_cast<uint64_t>(task->group_state));
  return true;
}

bool Tasks::PrepareExec(Task* task, Message& message) {
  const uint32_t id = task->id;
  const Task* container = Find(task->container);
  UniqueFd init(container == nullptr ? -1 : fcntl(container->pidfd.get(), F_DUPFD_CLOEXEC, 3));
  if (!init || container->state != State::kRunning) {
    loop_.Soon([this, id] {
      if (Task* late = Find(id)) FailStart(late, {Step::kNotRunning, 0, ESRCH, 0}, {});
    });
    return false;
  }
  message.kind = JobKind::kExec;
  PutStdio(*task->start, message);
  message.fd(Role::kInit) = std::move(init);
  uint64_t namespaces = launch::kJoinedNamespaces & ~container->host_namespaces;
  // In a hierarchy that the container is not in, its cgroup namespace shows what is above it.
  if (task->controls != container->controls) namespaces &= ~uint64_t{CLONE_NEWCGROUP};
  message.fields.String(JobTag::kGroup, task->group).U64(JobTag::kNamespaces, namespaces);
  if (!task->group.empty()) {
    message.fields.String(JobTag::kParentGroup, container->group)
        .U64(JobTag::kControls, task->controls);
  }
  return true;
}

// The hand has cloned (or could not): the child is ours, somewhere in its steps.
void Tasks::OnCloned(uint32_t id, Message reply) {
  Task* task = Find(id);
  if (task == nullptr) return;
  if (!reply.ok()) {
    // What a lost hand was doing with it is not known.
    if (reply.failure.step == Step::kHandLost) task->group_used = true;
    return FailStart(task, reply.failure, std::move(reply.text));
  }
  task->state = State::kStarting;
  task->cloned_ns = RealtimeNs();
  task->pid = reply.pid;
  task->pidfd = std::move(reply.fd(Role::kPidfd));
  task->report = std::move(reply.fd(Role::kReport));
  task->terminal_ends = std::move(reply.fd(Role::kTerminal));
  task->mount_namespace = std::move(reply.fd(Role::kMountNamespace));
  if (task->log) task->log->Begin(std::move(reply.fd(Role::kLog)));
  (void)fcntl(task->report.get(), F_SETFL, O_NONBLOCK);  // Only ever read when there is something.
  task->pidfd_token =
      loop_.Watch(task->pidfd.get(), EPOLLIN, [this, task](uint32_t) { OnPidfd(task); });
  task->report_token =
      loop_.Watch(task->report.get(), EPOLLIN, [this, task](uint32_t) { OnReport(task); });
  if (task->kill_wanted || ending_) SendKill(task);
}

Tasks::Reported Tasks::ReadReport(Task* task) {
  Failure failure;
  const ssize_t bytes =
      RetryEintr([&] { return read(task->report.get(), &failure, sizeof failure); });
  if (bytes < 0) return errno == EAGAIN ? Reported::kNothing : Reported::kEnd;
  loop_.Forget(&task->report_token);
  task->report.reset();
  if (bytes == 0) return Reported::kEnd;
  if (bytes != sizeof failure || failure.step >= Step::kCount || failure.step == Step::kNone) {
    failure = {Step::kReport, 0, EBADMSG, 0};
  }
  task->failed = true;
  task->failure = failure;
  return Reported::kFailure;
}

// End-of-file says that exec has happened, or that the child is dead: then the pidfd decides.
void Tasks::OnReport(Task* task) {
  siginfo_t status;
  rusage usage;
  const bool dead =
      kernel::WaitPidfd(task->pidfd.get(), &status, WEXITED | WNOHANG | WNOWAIT, &usage) != 0 ||
      status.si_pid != 0;
  if (dead) return OnPidfd(task);
  if (ReadReport(task) != Reported::kEnd) return;
  // One that is just being killed closes its files before it is dead to waitid: then the pidfd
  // comes. Asked only where that is to be expected, for want of memory or by a filter of the
  // user's: it costs a start some.
  const bool may_be_killed = LimitsMemory(*task) || (task->own_filter && !task->is_subreaper());
  if (may_be_killed && HasExecuted(task->pid, host_.proc.get()) == Executed::kNo) return;
  OnExecuted(task);
}

// The child has sent both ends before its exec. The slave stays here, a container's master goes to
// its log as well as to the program.
Result<UniqueFd> Tasks::TakeTerminal(Task* task) {
  auto ends = ReceiveTerminal(task->terminal_ends.get());
  task->terminal_ends.reset();
  if (!ends) return std::unexpected(ends.error());
  task->terminal = std::move(ends->slave);
  if (task->log) {
    UniqueFd copy(fcntl(ends->master.get(), F_DUPFD_CLOEXEC, 3));
    if (!copy) return FailErrno(Step::kTerminal);
    task->log->Follow(std::move(copy));
  }
  return std::move(ends->master);
}

void Tasks::OnExecuted(Task* task) {
  if (task->state != State::kStarting) return;
  task->state = State::kRunning;
  task->started_ns = RealtimeNs();
  task->start.reset();
  --starting_;
  UniqueFd master;
  if (task->wants_terminal) {
    auto taken = TakeTerminal(task);
    if (!taken) {
      // It runs, but nobody could see it: said when it is gone.
      task->failed = true;
      task->failure = taken.error();
      return SendKill(task);
    }
    master = std::move(*taken);
  }
  if (task->timeout_ms != 0) {
    task->timeout = loop_.After(task->timeout_ms, [this, id = task->id] { OnTimeout(id); });
  }
  if (!task->want_started) return;
  FieldWriter body;
  body.U64(Tag::kPid, static_cast<uint64_t>(task->pid)).U64(Tag::kStartedNs, task->started_ns);
  std::vector<UniqueFd> fds;
  fds.emplace_back(fcntl(task->pidfd.get(), F_DUPFD_CLOEXEC, 3));
  if (master) fds.push_back(std::move(master));
  answers_.Send(Type::kStarted, task->id, body, std::move(fds));
  WatchOom(task);
}

}  // namespace caisson
