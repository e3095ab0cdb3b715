// zone: native
#include "supervisor/pools.h"

#include <algorithm>

#include "supervisor/debug.h"

namespace caisson {

namespace {

constexpr size_t kLeast = 2;
constexpr size_t kMost = 16;
constexpr uint64_t kPeakLastsNs = 2'000'000'000;
constexpr uint64_t kLimitsLastNs = 10'000'000'000;  // after the last container that had some
constexpr uint64_t kPauseNs = 1'000'000'000;        // after something could not be made

}  // namespace

launch::Kit Pools::TakeKit() {
  if (kits_.empty()) return {};
  launch::Kit kit = std::move(kits_.front());
  kits_.pop_front();
  return kit;
}

std::string Pools::FreshFolder() {
  if (folders_.empty()) return scratch_ + '/' + std::to_string(next_folder_++);
  std::string folder = std::move(folders_.back());
  folders_.pop_back();
  return folder;
}

Pools::Slot Pools::TakeSlot(const std::vector<std::string>& layers) {
  for (List& list : lists_) {
    if (list.layers != layers || list.ready.empty()) continue;
    Slot slot = std::move(list.ready.front());
    list.ready.pop_front();
    return slot;
  }
  return {FreshFolder(), {}, {}, 0};
}

std::string Pools::FreshGroup() {
  return with_groups_ ? "slot-" + std::to_string(next_group_++) : std::string();
}

std::string Pools::TakeGroup(const std::string& limits, GroupState* state) {
  if (!limits.empty()) limits_used_ns_ = MonotonicNs();
  const auto same = std::ranges::find(groups_.rbegin(), groups_.rend(), limits, &Group::limits);
  if (same != groups_.rend()) {
    *state = same->bare ? GroupState::kBare : GroupState::kLimited;
    std::string group = std::move(same->name);
    groups_.erase(std::next(same).base());
    return group;
  }
  if (!limits.empty() && !limited_groups_.empty()) {
    *state = GroupState::kBare;
    std::string group = std::move(limited_groups_.front());
    limited_groups_.pop_front();
    return group;
  }
  *state = GroupState::kAbsent;
  return FreshGroup();
}

Pools::List* Pools::FindList(uint32_t id) {
  for (List& list : lists_) {
    if (list.id == id) return &list;
  }
  return nullptr;
}

void Pools::ExpectSlot(uint32_t id) {
  if (List* list = FindList(id)) ++list->returning;
}

void Pools::ReturnSlot(Slot slot) {
  List* list = FindList(slot.list);
  if (list != nullptr && list->returning > 0) --list->returning;
  if (slot.folder.empty() || closed_) return;
  if (slot.rootfs) {
    if (list == nullptr || list->ready.size() >= kMost) return DropSlot(std::move(slot));
    list->ready.push_back(std::move(slot));
  } else if (folders_.size() < kMost) {
    folders_.push_back(std::move(slot.folder));
  }
}

void Pools::ReturnGroup(Group group) {
  groups_.push_back(std::move(group));
  if (groups_.size() <= kMostGroups) return;
  Job job;
  job.urgency = Urgency::kTidy;
  job.prepare = [group = std::move(groups_.front().name)](Message& message) {
    message.kind = JobKind::kTidy;
    message.fields.String(JobTag::kGroup, group)
        .U64(JobTag::kGroupFate, static_cast<uint64_t>(Fate::kRemove));
    return true;
  };
  groups_.erase(groups_.begin());
  jobs_.Submit(std::move(job));
}

void Pools::NoteStart(size_t running) {
  const uint64_t now = MonotonicNs();
  if (running >= peak_ || now - peak_ns_ > kPeakLastsNs) {
    peak_ = std::max<size_t>(running, 1);
    peak_ns_ = now;
  }
}

size_t Pools::Target() {
  return std::clamp(peak_ + 1, kLeast, kMost);
}

void Pools::Warm(const std::vector<std::string>& layers) {
  if (layers.empty()) return;
  const auto found =
      std::ranges::find_if(lists_, [&](const List& list) { return list.layers == layers; });
  if (found != lists_.end()) {
    lists_.splice(lists_.begin(), lists_, found);
    return;
  }
  lists_.emplace_front();
  lists_.front().id = next_list_++;
  lists_.front().layers = layers;
  while (lists_.size() > kMostLists) {
    for (Slot& slot : lists_.back().ready) DropSlot(std::move(slot));
    lists_.pop_back();
  }
}

void Pools::ForgetLayer(const std::string& layer) {
  for (auto list = lists_.begin(); list != lists_.end();) {
    if (std::ranges::find(list->layers, layer) == list->layers.end()) {
      ++list;
      continue;
    }
    for (Slot& slot : list->ready) DropSlot(std::move(slot));
    list = lists_.erase(list);
  }
}

void Pools::DropSlot(Slot slot) {
  auto held = std::make_shared<Slot>(std::move(slot));
  Job job;
  job.urgency = Urgency::kTidy;
  job.prepare = [held](Message& message) {
    message.kind = JobKind::kTidy;
    message.fd(Role::kRootfs) = std::move(held->rootfs);
    message.fd(Role::kMountNamespace) = std::move(held->mount_namespace);
    message.fields.String(JobTag::kFolder, held->folder)
        .U64(JobTag::kFolderFate, static_cast<uint64_t>(Fate::kRemove));
    return true;
  };
  jobs_.Submit(std::move(job));
}

void Pools::FillKits(size_t target) {
  if (MonotonicNs() < kits_paused_until_ns_) return;
  while (kits_.size() + kits_coming_ < target) {
    ++kits_coming_;
    Job job;
    job.urgency = Urgency::kPrepare;
    job.makes_process = true;
    job.prepare = [this](Message& message) {
      message.kind = JobKind::kKit;
      if (!closed_) return true;
      --kits_coming_;
      return false;
    };
    job.done = [this](Message reply) {
      --kits_coming_;
      if (!reply.ok()) {
        Debug("not prepared: step %d errno %d", static_cast<int>(reply.failure.step),
              reply.failure.error);
        kits_paused_until_ns_ = MonotonicNs() + kPauseNs;
      } else if (!closed_) {
        kits_.push_back(reply.TakeKit());
      }
    };
    jobs_.Submit(std::move(job));
  }
}

void Pools::FillLimitedGroups(size_t target) {
  const uint64_t now = MonotonicNs();
  if (limits_used_ns_ == 0 || now - limits_used_ns_ > kLimitsLastNs) return;
  if (now < limited_groups_paused_until_ns_) return;
  while (limited_groups_.size() + limited_groups_coming_ < target) {
    ++limited_groups_coming_;
    const std::string group = FreshGroup();
    Job job;
    job.urgency = Urgency::kPrepare;
    job.prepare = [this, group](Message& message) {
      message.kind = JobKind::kGroup;
      message.fields.String(JobTag::kGroup, group).U64(JobTag::kControls, controls_);
      if (!closed_) return true;
      --limited_groups_coming_;
      return false;
    };
    job.done = [this, group](Message reply) {
      --limited_groups_coming_;
      if (!reply.ok()) {
        Debug("no group: step %d errno %d", static_cast<int>(reply.failure.step),
              reply.failure.error);
        limited_groups_paused_until_ns_ = MonotonicNs() + kPauseNs;
      } else if (!closed_) {
        limited_groups_.push_back(group);
      }
    };
    jobs_.Submit(std::move(job));
  }
}

void Pools::FillList(List* list, size_t target) {
  if (MonotonicNs() < list->paused_until_ns) return;
  while (list->ready.size() + list->coming + list->returning < target) {
    ++list->coming;
    auto folder = std::make_shared<std::string>(FreshFolder());
    Job job;
    job.urgency = Urgency::kPrepare;
    job.makes_process = true;
    // The list may be gone when its turn comes.
    job.prepare = [this, id = list->id, folder](Message& message) {
      const List* wanted = closed_ ? nullptr : FindList(id);
      if (wanted == nullptr) {
        ReturnSlot({std::move(*folder), {}, {}, 0});
        return false;
      }
      message.kind = JobKind::kSlot;
      message.fields.String(JobTag::kFolder, *folder);
      for (const std::string& layer : wanted->layers) message.fields.String(JobTag::kLayer, layer);
      return true;
    };
    job.done = [this, id = list->id, folder](Message reply) {
      Slot slot{*folder, std::move(reply.fd(Role::kRootfs)),
                std::move(reply.fd(Role::kMountNamespace)), id};
      List* found = closed_ ? nullptr : FindList(id);
      if (found == nullptr) return DropSlot(std::move(slot));
      if (found->coming > 0) --found->coming;
      if (!reply.ok() || !slot.rootfs) {
        Debug("no slot: step %d errno %d %s", static_cast<int>(reply.failure.step),
              reply.failure.error, reply.text.c_str());
        found->paused_until_ns = MonotonicNs() + kPauseNs;
        return DropSlot(std::move(slot));
      }
      found->ready.push_back(std::move(slot));
    };
    jobs_.Submit(std::move(job));
  }
}

void Pools::Refill() {
  if (closed_) return;
  const size_t target = Target();
  FillKits(target);
  if (with_groups_) FillLimitedGroups(target);
  for (List& list : lists_) {
    // Only what is in use now is kept at the full number.
    FillList(&list, &list == &lists_.front() ? target : kLeast);
  }
}

void Pools::Close() {
  closed_ = true;
  kits_.clear();
  lists_.clear();
  groups_.clear();
  limited_groups_.clear();
  folders_.clear();
}

}  // namespace caisson
