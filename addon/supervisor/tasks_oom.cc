// zone: native
#include "supervisor/tasks.h"

namespace caisson {

using protocol::Reason;
using protocol::Type;

namespace {

// v1 tells before it kills, and kills nobody when the memory comes back in time.
constexpr int kLooks = 10;  // 1, 2, 4 … milliseconds apart: half a second

}  // namespace

// Of a container that makes events, and only where a limit of its own can be reached: whom the
// limit of a group above ends is told at the end.
void Tasks::WatchOom(Task* task) {
  if (task->kind != Kind::kContainer || !LimitsMemory(*task) || task->group.empty()) return;
  task->oom_watch = launch::WatchOom(host_, task->group);
  if (!task->oom_watch.fd) return;  // then its end tells it
  task->oom_token =
      loop_.Watch(task->oom_watch.fd.get(), task->oom_watch.events, [this, task](uint32_t) {
        launch::ClearOom(task->oom_watch);
        LookForOom(task->id, task->oom_watch.early ? kLooks : 1);
      });
  // Since its exec. A file of v2 that nobody has read is ready, too.
  launch::ClearOom(task->oom_watch);
  LookForOom(task->id, 1);
}

void Tasks::LookForOom(uint32_t id, int looks) {
  Task* task = Find(id);
  if (task == nullptr || !task->oom_watch.fd) return;
  const uint64_t told = task->oom_told;
  TellOomKills(task, launch::OomKills(host_, task->group));
  if (task->oom_told != told || looks <= 1) return;
  (void)loop_.After(uint64_t{1} << (kLooks - looks),
                    [this, id, looks] { LookForOom(id, looks - 1); });
}

// With the status, since the group goes soon. Where no limit is ours somebody else's may have been
// reached; then the process was killed.
void Tasks::CountOomKills(Task* task) {
  const bool killed = task->status.si_code == CLD_KILLED && task->status.si_status == SIGKILL;
  const bool asked = task->asked != Reason::kExited || task->kill_wanted;
  const bool may_be = killed && !asked && task->kind == Kind::kContainer;
  if (!LimitsMemory(*task) && !may_be) return;
  Task* container = task->kind == Kind::kContainer ? task : Find(task->container);
  if (container == nullptr || container->group.empty()) return;
  const uint64_t now = launch::OomKills(host_, container->group);
  task->oom_kills = now > task->oom_before ? now - task->oom_before : 0;
  TellOomKills(container, now);
}

// Before whatever is told of the end that it was.
void Tasks::TellOomKills(Task* container, uint64_t kills) {
  const bool started = container->want_started && container->started_ns != 0;
  if (!started || container->failed || kills <= container->oom_told) return;
  container->oom_told = kills;
  answers_.Send(Type::kOomKilled, container->id, {}, {});
}

}  // namespace caisson
