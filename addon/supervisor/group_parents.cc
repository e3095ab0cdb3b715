// zone: native
#include "supervisor/group_parents.h"

namespace caisson {

std::string GroupParents::PrefixOf(const std::string& parent) const {
  // From the runtime's own group up to where both begin.
  std::string prefix = "..";
  const std::string& own = options_.cgroup_parent;
  for (size_t at = 0; (at = own.find_first_not_of('/', at)) != std::string::npos;) {
    prefix += "/..";
    at = own.find('/', at);
    if (at == std::string::npos) break;
  }
  return prefix + parent + '/' + options_.id + '/';
}

void GroupParents::Make(const std::string& parent, Ready ready) {
  if (made_.contains(parent)) return ready({}, 0);
  if (journalled_.insert(parent).second && journal_ != nullptr) {
    for (const CgroupBase& base : bases_) {
      const auto record = journal_->Append("cgroup", base.path + parent + '/' + options_.id);
      if (!record) return ready(record.error(), 0);
    }
  }
  Job job;
  job.who = Who::kOuter;
  job.urgency = Urgency::kStart;
  job.prepare = [parent](Message& message) {
    message.kind = JobKind::kGroupParent;
    message.fields.String(JobTag::kPath, parent);
    return true;
  };
  job.done = [this, parent, ready = std::move(ready)](Message reply) {
    // What is missing may be given until the next one comes.
    const uint64_t missing = reply.Number(JobTag::kControls);
    if (reply.ok() && missing == 0) made_.insert(parent);
    ready(reply.failure, missing);
  };
  jobs_.Submit(std::move(job));
}

}  // namespace caisson
