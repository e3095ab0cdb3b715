// zone: native
#include "supervisor/debug.h"
#include "supervisor/tasks.h"

namespace caisson {

namespace {

Job FreezeJob(const std::string& group, launch::Freezing wanted) {
  Job job;
  // As a kill: it must not wait behind those that are to be started.
  job.urgency = Urgency::kKill;
  job.prepare = [group, wanted](Message& message) {
    message.kind = wanted == launch::Freezing::kFreeze ? JobKind::kFreeze : JobKind::kThaw;
    message.fields.String(JobTag::kGroup, group);
    return true;
  };
  return job;
}

}  // namespace

void Tasks::SetFrozen(uint32_t request, uint32_t target, launch::Freezing wanted) {
  Task* task = Find(target);
  const bool freeze = wanted == launch::Freezing::kFreeze;
  if (task == nullptr || task->kind != Kind::kContainer || task->state != State::kRunning) {
    return answers_.Failed(request, {Step::kNotRunning, 0, ESRCH, 0});
  }
  if (task->group.empty()) return answers_.Failed(request, {Step::kFreeze, 0, EOPNOTSUPP, 0});
  if (task->frozen == freeze) return answers_.Failed(request, {Step::kFreeze, 0, EALREADY, 0});
  if (freeze) {
    task->frozen = true;
    task->group_used = true;  // the next one would stand still
  }
  Job job = FreezeJob(task->group, wanted);
  job.done = [this, request, target, freeze](Message reply) {
    Task* held = Find(target);
    if (held == nullptr || held->state != State::kRunning) {
      return answers_.Failed(request, {Step::kNotRunning, 0, ESRCH, 0});
    }
    // Killed meanwhile, it has to die; of a hand that is lost nobody knows how far it was.
    const bool lost = reply.failure.step == Step::kHandLost;
    if (freeze && (held->kill_wanted || lost)) Thaw(*held);
    if (reply.ok() ? !freeze : freeze) held->frozen = false;
    if (!reply.ok()) return answers_.Failed(request, reply.failure);
    answers_.Done(request);
  };
  jobs_.Submit(std::move(job));
}

// What is killed while it stands still dies at once in v2, in v1 when it goes on.
void Tasks::Thaw(const Task& task) {
  Job job = FreezeJob(task.group, launch::Freezing::kThaw);
  job.done = [this, id = task.id](Message reply) {
    const Task* held = Find(id);
    if (reply.ok() || held == nullptr) return;
    Debug("thaw: errno %d", reply.failure.error);
    if (reply.failure.step == Step::kHandLost && !ending_) Thaw(*held);
  };
  jobs_.Submit(std::move(job));
}

}  // namespace caisson
