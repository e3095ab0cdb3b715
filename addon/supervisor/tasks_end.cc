// zone: native
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "supervisor/children.h"
#include "supervisor/debug.h"
#include "supervisor/kernel.h"
#include "supervisor/tasks.h"

namespace caisson {

using protocol::Reason;
using protocol::Tag;
using protocol::Type;

namespace {
constexpr uint64_t kContainerEndsMs = 50;
}  // namespace

bool Tasks::Claims(pid_t pid) const {
  for (const auto& [id, task] : tasks_) {
    if (task->pid == pid) return true;
  }
  return false;
}

Result<> Tasks::Signal(uint32_t target, int signal) {
  Task* task = Find(target);
  if (task == nullptr || task->state != State::kRunning) return Fail(Step::kNotRunning, ESRCH);
  if (sys::PidfdSendSignal(task->pidfd.get(), signal) != 0) return FailErrno(Step::kNotRunning);
  return {};
}

Result<> Tasks::Kill(uint32_t target) {
  Task* task = Find(target);
  if (task == nullptr || task->state == State::kEnding) return Fail(Step::kNotRunning, ESRCH);
  if (task->asked == Reason::kExited) task->asked = Reason::kKilled;
  SendKill(task);
  return {};
}

Result<> Tasks::Resize(uint32_t target, uint16_t columns, uint16_t rows) {
  Task* task = Find(target);
  if (task == nullptr || task->state != State::kRunning) return Fail(Step::kNotRunning, ESRCH);
  if (!task->terminal) return Fail(Step::kTerminal, ENOTTY);
  const winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (ioctl(task->terminal.get(), TIOCSWINSZ, &size) != 0) return FailErrno(Step::kTerminal);
  return {};
}

void Tasks::OnTimeout(uint32_t id) {
  Task* task = Find(id);
  if (task == nullptr) return;
  task->timeout = {};
  if (task->asked == Reason::kExited) task->asked = Reason::kTimeout;
  SendKill(task);
}

// The whole tree. A container: its pid namespace goes with pid 1. An exec, or a container in a pid
// namespace that is not its own: its cgroup, by a hand; without one it is a subreaper, which kills
// its descendants when asked.
void Tasks::SendKill(Task* task) {
  task->kill_wanted = true;
  if (!task->pidfd) return;  // OnCloned comes back to it.
  if (task->frozen) Thaw(*task);
  if (task->own_pids) {
    (void)sys::PidfdSendSignal(task->pidfd.get(), SIGKILL);  // ESRCH: it has just ended.
  } else if (task->is_subreaper()) {
    (void)sys::PidfdSendSignal(task->pidfd.get(), kKillTreeSignal);
  } else {
    KillGroup(task);
  }
}

void Tasks::KillGroup(Task* task) {
  Job job;
  job.urgency = Urgency::kKill;
  job.prepare = [this, id = task->id, group = task->group](Message& message) {
    if (Find(id) == nullptr) return false;
    message.kind = JobKind::kKill;
    message.fields.String(JobTag::kGroup, group);
    return true;
  };
  job.done = [this, id = task->id](Message reply) {
    Task* alive = Find(id);
    if (alive == nullptr) return;
    --alive->kills;
    if (!reply.ok()) {
      if (reply.failure.step == Step::kHandLost && !ending_) return KillGroup(alive);
      // At least the process itself.
      Debug("kill of a cgroup: errno %d", reply.failure.error);
      (void)sys::PidfdSendSignal(alive->pidfd.get(), SIGKILL);
    }
    if (alive->answer_due) Finish(alive);
  };
  ++task->kills;
  jobs_.Submit(std::move(job));
}

void Tasks::KillAll(std::function<void()> gone) {
  ending_ = true;
  gone_ = std::move(gone);
  if (tasks_.empty()) return loop_.Soon(std::exchange(gone_, nullptr));
  for (auto& [id, task] : tasks_) {
    if (task->state == State::kEnding) continue;
    if (task->asked == Reason::kExited) task->asked = Reason::kKilled;
    // Execs die with their containers.
    if (task->kind == Kind::kContainer || !task->pidfd) SendKill(task.get());
  }
}

// The process is dead.
void Tasks::OnPidfd(Task* task) {
  const bool starting = task->state == State::kStarting;
  bool said_nothing = false;
  if (starting && task->report) said_nothing = ReadReport(task) != Reported::kFailure;
  Executed executed = Executed::kUnknown;
  siginfo_t peek;
  rusage usage;
  if (starting && said_nothing) {
    (void)kernel::WaitPidfd(task->pidfd.get(), &peek, WEXITED | WNOHANG | WNOWAIT, &usage);
    // Before exec it never exits without a report. Killed, it says the same in both cases: ask the
    // kernel, while it is still a zombie.
    executed = peek.si_code == CLD_EXITED || task->is_subreaper()
                   ? Executed::kYes
                   : HasExecuted(task->pid, host_.proc.get());
  }
  const int told = task->with_init ? SignalToldBy(task->pid, host_.proc.get()) : 0;
  if (kernel::WaitPidfd(task->pidfd.get(), &task->status, WEXITED | WNOHANG, &task->usage) != 0) {
    // Somebody else has reaped it: its end is true, its status lost.
    task->asked = Reason::kLost;
  } else if (task->status.si_pid == 0) {
    return;  // Not yet.
  }
  if (told != 0 && task->status.si_code == CLD_EXITED && task->status.si_status == 128 + told) {
    task->status.si_code = CLD_KILLED;  // as the command was
    task->status.si_status = told;
  }
  // What we kill a container for ends its execs, and those in its pid namespace, as well. It is
  // there still: its own end waits for theirs.
  for (const Task* over = Find(task->depends_on());
       over != nullptr && task->asked == Reason::kExited; over = Find(over->depends_on())) {
    const bool ours = over->asked == Reason::kKilled || over->asked == Reason::kTimeout;
    if (ours) task->asked = Reason::kKilled;
  }
  if (starting && said_nothing && executed != Executed::kNo) OnExecuted(task);
  CountOomKills(task);
  loop_.Forget(&task->pidfd_token);
  loop_.Forget(&task->report_token);
  loop_.Forget(&task->oom_token);
  loop_.Cancel(&task->timeout);
  task->oom_watch.fd.reset();
  task->terminal.reset();  // its master may end now
  task->finished_ns = RealtimeNs();
  if (task->state == State::kStarting) {
    --starting_;
    if (!task->failed && !task->kill_wanted) {
      task->failed = true;
      task->failure = {Step::kReport, 0, ECHILD, 0};
    }
    // The kernel kills for want of memory, or refuses what it was asked for.
    const bool refused = task->failure.error == ENOMEM && LimitsMemory(*task);
    if (task->failed && (task->oom_kills != 0 || refused)) {
      task->failure = {Step::kOutOfMemory, 0, ENOMEM, 0};
    }
  }
  task->state = State::kEnding;
  if (task->failed && task->detail.empty() && task->start) {
    task->detail = DetailOf(task->failure, task->start->body->bytes());
  }
  if (task->kind == Kind::kExec && task->failed && task->failure.step == Step::kReport) {
    // Killed, unasked, before its exec. If that was the end of its container, which needed our
    // waitid to complete, say so.
    (void)loop_.After(kContainerEndsMs, [this, id = task->id] {
      Task* late = Find(id);
      if (late == nullptr) return;
      const Task* container = Find(late->container);
      if (container == nullptr || container->state != State::kRunning) {
        late->failure = {Step::kNotRunning, 0, ESRCH, 0};
      }
      Answer(late);
    });
    return;
  }
  if (task->kind == Kind::kContainer && !task->own_pids) KillRest(task);
  Finish(task);
}

bool Tasks::HasExecs(uint32_t container) const {
  for (const auto& [id, task] : tasks_) {
    if (task->kind == Kind::kExec && task->container == container) return true;
  }
  return false;
}

// A container ends as a whole, also where the kernel sees nothing but processes of another one's
// pid namespace.
void Tasks::KillRest(Task* task) {
  if (!task->group.empty()) KillGroup(task);
  for (const auto& [id, exec] : tasks_) {
    if (exec->kind != Kind::kExec || exec->container != task->id) continue;
    if (exec->state != State::kEnding) SendKill(exec.get());
  }
}

// Its first process is dead; the answer comes when all of its tree is.
void Tasks::Finish(Task* task) {
  const bool alone = task->own_pids || task->kind == Kind::kExec;
  if (task->kills > 0 || (!alone && HasExecs(task->id))) {
    task->answer_due = true;
  } else if (task->log) {
    task->answer_due = false;
    task->log->Drain([this, task] { Answer(task); });
  } else {
    Answer(task);
  }
}

void Tasks::FailStart(Task* task, const Failure& failure, std::string detail) {
  if (task->state != State::kEnding) --starting_;
  task->state = State::kEnding;
  task->failed = true;
  task->failure = failure;
  task->detail = std::move(detail);
  if (task->start) {
    const std::string item = DetailOf(failure, task->start->body->bytes());
    if (!item.empty()) task->detail = task->detail.empty() ? item : item + ": " + task->detail;
  }
  Answer(task);
}

// The next start on a folder that stays may come with the answer, and two overlays on one upper
// folder are undefined: the last descriptor that holds the old one is closed before.
void Tasks::LeaveFolder(Task* task) {
  auto held = std::make_shared<UniqueFd>(std::move(task->mount_namespace));
  Job job;
  job.urgency = Urgency::kStart;
  job.prepare = [held](Message& message) {
    message.kind = JobKind::kTidy;
    message.fd(Role::kMountNamespace) = std::move(*held);
    return true;
  };
  job.done = [this, id = task->id](Message) {
    if (Task* left = Find(id)) Answer(left);
  };
  jobs_.Submit(std::move(job));
}

void Tasks::Answer(Task* task) {
  const bool stays = !task->folder.empty() && !task->own_folder;
  if (stays && task->mount_namespace) return LeaveFolder(task);
  const auto found = tasks_.find(task->id);
  std::unique_ptr<Task> ended = std::move(found->second);
  tasks_.erase(found);
  if (ended->failed) {
    answers_.Failed(ended->id, ended->failure, ended->detail);
  } else {
    SendExited(*ended);
  }
  Task* over = ended->kind == Kind::kExec ? Find(ended->container) : nullptr;
  PutAway(std::move(ended));
  if (over != nullptr && over->answer_due) Finish(over);
  if (tasks_.empty() && gone_) loop_.Soon(std::exchange(gone_, nullptr));
}

void Tasks::SendExited(const Task& task) {
  FieldWriter body;
  Reason reason = Reason::kExited;
  const bool by_signal = task.status.si_code == CLD_KILLED || task.status.si_code == CLD_DUMPED;
  // A subreaper ends in its own way when it was asked to kill.
  const bool subreaper = task.is_subreaper() && task.kill_wanted;
  if (task.asked == Reason::kLost) {
    reason = Reason::kLost;
  } else {
    if (by_signal) {
      body.U64(Tag::kExitSignal, static_cast<uint64_t>(task.status.si_status));
      reason = Reason::kSignaled;
    } else {
      body.U64(Tag::kExitCode, static_cast<uint64_t>(task.status.si_status));
    }
    // Asked to end but quicker than that, it has ended by itself.
    const bool killed = by_signal && task.status.si_status == SIGKILL;
    if ((killed || subreaper) && task.asked != Reason::kExited) {
      reason = task.asked;
    } else if (killed && task.oom_kills != 0) {
      reason = Reason::kOom;
    }
  }
  const auto micros = [](const timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_usec);
  };
  body.U64(Tag::kReason, static_cast<uint64_t>(reason))
      .U64(Tag::kStartedNs, task.started_ns != 0 ? task.started_ns : task.cloned_ns)
      .U64(Tag::kFinishedNs, task.finished_ns)
      .U64(Tag::kUserUs, micros(task.usage.ru_utime))
      .U64(Tag::kSystemUs, micros(task.usage.ru_stime))
      .U64(Tag::kMaxRssBytes, static_cast<uint64_t>(task.usage.ru_maxrss) * 1024)
      .U64(Tag::kOomKills, task.oom_kills);
  answers_.Send(Type::kExited, task.id, body, {});
}

// After the answer: what is left of it goes to a hand, what can serve again comes back.
void Tasks::PutAway(std::unique_ptr<Task> task) {
  const bool untouched = task->group.empty() && task->folder.empty() && !task->mount_namespace;
  if (untouched) return;

  Fate group_fate = Fate::kRemove;
  if (task->kind == Kind::kExec) {
    if (!task->failed) group_fate = Fate::kIfEmpty;
  } else if (task->own_group && !task->group_used) {
    group_fate = Fate::kRecycle;
  }
  Fate folder_fate = Fate::kLeave;
  if (task->own_folder) {
    const bool lost = task->failed && task->failure.step == Step::kHandLost;
    folder_fate = lost || task->user_namespace ? Fate::kRemove : Fate::kRecycle;
  }
  auto remains = std::make_shared<Remains>();
  remains->mount_namespace = std::move(task->mount_namespace);
  if (task->rootfs) {
    remains->rootfs = std::move(task->rootfs);
    remains->list = task->list;
    pools_.ExpectSlot(task->list);
  }
  remains->group = std::move(task->group);
  remains->limits = std::move(task->limits);
  remains->controls = task->controls;
  remains->folder = std::move(task->folder);
  remains->group_fate = group_fate;
  remains->folder_fate = folder_fate;
  SubmitTidy(std::move(remains));
  pools_.Refill();
}

void Tasks::SubmitTidy(std::shared_ptr<Remains> remains) {
  Job job;
  job.urgency = Urgency::kTidy;
  job.makes_process = true;  // for the next one's mount namespace
  job.prepare = [remains](Message& message) {
    message.kind = JobKind::kTidy;
    message.fd(Role::kMountNamespace) = std::move(remains->mount_namespace);
    message.fd(Role::kRootfs) = std::move(remains->rootfs);
    message.fields.String(JobTag::kGroup, remains->group)
        .U64(JobTag::kControls, remains->controls)
        .U64(JobTag::kGroupFate, static_cast<uint64_t>(remains->group_fate))
        .String(JobTag::kFolder, remains->folder)
        .U64(JobTag::kFolderFate, static_cast<uint64_t>(remains->folder_fate));
    return true;
  };
  job.done = [this, remains](Message reply) {
    if (reply.failure.step == Step::kHandLost && ++remains->attempts < kTidyAttempts) {
      // Half done: once more, and nothing of it is used again.
      if (remains->group_fate == Fate::kRecycle) remains->group_fate = Fate::kRemove;
      if (remains->folder_fate == Fate::kRecycle) remains->folder_fate = Fate::kRemove;
      return SubmitTidy(remains);
    }
    if (!reply.ok()) {
      // The end of the runtime removes it.
      Debug("tidy of %s %s: step %d errno %d", remains->group.c_str(), remains->folder.c_str(),
            static_cast<int>(reply.failure.step), reply.failure.error);
    }
    if ((reply.recycled & kRecycledGroup) != 0) {
      pools_.ReturnGroup({std::move(remains->group), std::move(remains->limits),
                          (reply.recycled & kRecycledBare) != 0});
    }
    if (remains->folder_fate == Fate::kLeave) return;
    Pools::Slot slot{{},
                     std::move(reply.fd(Role::kRootfs)),
                     std::move(reply.fd(Role::kMountNamespace)),
                     remains->list};
    if (reply.ok()) slot.folder = std::move(remains->folder);
    pools_.ReturnSlot(std::move(slot));
  };
  jobs_.Submit(std::move(job));
}

}  // namespace caisson
