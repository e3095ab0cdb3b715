// zone: native
#pragma once

#include <deque>
#include <list>
#include <string>
#include <vector>

#include "supervisor/hands.h"

namespace caisson {

// What is prepared before it is asked for. How much follows how many starts were under way at once
// lately; it is filled by hands that have nothing better to do. A pool that is empty costs the
// start what it would have cost without.
class Pools {
 public:
  // `with_groups`: cgroups can be made. `scratch`: store folder of the slots.
  Pools(Loop& loop, Jobs& jobs, std::string scratch, bool with_groups)
      : loop_(loop), jobs_(jobs), scratch_(std::move(scratch)), with_groups_(with_groups) {}

  struct Slot {
    std::string folder;
    UniqueFd rootfs;  // its overlay; absent: to be made by the start
  };

  // For one start. Nothing prepared is nothing: an invalid descriptor, a name to make.
  [[nodiscard]] UniqueFd TakeNet();
  [[nodiscard]] UniqueFd TakeDevices();
  [[nodiscard]] Slot TakeSlot(const std::vector<std::string>& layers);
  // `ready`: the group exists.
  [[nodiscard]] std::string TakeGroup(bool* ready);
  // After the end. A folder comes back when nothing is left of what was in it.
  void ReturnFolder(std::string folder);
  void ReturnGroup(std::string group);
  // True when there is a place for one more recycled group.
  [[nodiscard]] bool wants_groups() const { return groups_.size() < kMostGroups; }

  // A start has begun while `running` others were under way.
  void NoteStart(size_t running);
  // These layers will be used again.
  void Warm(const std::vector<std::string>& layers);
  // A layer is about to be removed: its overlays go first.
  void ForgetLayer(const std::string& layer);
  // Starts what is missing; called when answers have been sent.
  void Refill();
  // Everything is closed, nothing is made any more.
  void Close();

 private:
  static constexpr size_t kMostGroups = 16;
  static constexpr size_t kMostLists = 4;

  struct List {
    std::vector<std::string> layers;
    std::deque<Slot> ready;
    size_t coming = 0;
    uint64_t paused_until_ns = 0;
  };
  struct Kind {
    std::deque<UniqueFd> ready;
    size_t coming = 0;
    uint64_t paused_until_ns = 0;
  };

  [[nodiscard]] size_t Target();
  void FillKind(Kind* kind, JobKind job, Role role, size_t target);
  void FillList(List* list, size_t target);
  void DropSlot(Slot slot);
  [[nodiscard]] std::string FreshFolder();

  Loop& loop_;
  Jobs& jobs_;
  std::string scratch_;
  bool with_groups_;
  bool closed_ = false;
  Kind nets_;
  Kind devices_;
  std::list<List> lists_;  // most recently used first
  std::vector<std::string> groups_;
  std::vector<std::string> folders_;
  uint32_t next_folder_ = 0;
  uint32_t next_group_ = 0;
  size_t peak_ = 1;
  uint64_t peak_ns_ = 0;
};

}  // namespace caisson
