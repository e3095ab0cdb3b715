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
  // `with_groups`: cgroups can be made, with limits of all `controls`. `scratch`: store folder of
  // the slots.
  Pools(Loop& loop, Jobs& jobs, std::string scratch, bool with_groups, uint64_t controls)
      : loop_(loop),
        jobs_(jobs),
        scratch_(std::move(scratch)),
        with_groups_(with_groups),
        controls_(controls) {}

  struct Slot {
    std::string folder;
    UniqueFd rootfs;           // its overlay; absent: to be made by the start
    UniqueFd mount_namespace;  // with the overlay as its root; absent: likewise
    uint32_t list = 0;         // where it belongs; 0: nowhere
  };

  struct Group {
    std::string name;
    std::string limits;  // what the last one had asked for, and the next one will
    bool bare = false;   // they are to be written anew
  };

  // For one start. Nothing prepared is nothing: invalid descriptors, a name to make.
  [[nodiscard]] launch::Kit TakeKit();
  [[nodiscard]] Slot TakeSlot(const std::vector<std::string>& layers);
  [[nodiscard]] std::string TakeGroup(const std::string& limits, GroupState* state);
  // The name of one that nobody has had.
  [[nodiscard]] std::string FreshGroup();
  // A container on a slot has ended: it is likely to come back in a moment.
  void ExpectSlot(uint32_t list);
  // After the end: a folder, with its overlay where it has one, when the container left nothing in
  // it; an empty name when it is gone.
  void ReturnSlot(Slot slot);
  void ReturnGroup(Group group);

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
    uint32_t id = 0;
    std::vector<std::string> layers;
    std::deque<Slot> ready;
    size_t coming = 0;     // being made
    size_t returning = 0;  // being looked at
    uint64_t paused_until_ns = 0;
  };

  [[nodiscard]] size_t Target();
  [[nodiscard]] List* FindList(uint32_t id);
  void FillKits(size_t target);
  void FillLimitedGroups(size_t target);
  void FillList(List* list, size_t target);
  void DropSlot(Slot slot);
  [[nodiscard]] std::string FreshFolder();

  Loop& loop_;
  Jobs& jobs_;
  std::string scratch_;
  bool with_groups_;
  uint64_t controls_;
  bool closed_ = false;
  std::deque<launch::Kit> kits_;
  size_t kits_coming_ = 0;
  uint64_t kits_paused_until_ns_ = 0;
  std::list<List> lists_;                   // most recently used first
  std::vector<Group> groups_;               // the last to come back is the last
  std::deque<std::string> limited_groups_;  // in every hierarchy that limits, without limits yet
  size_t limited_groups_coming_ = 0;
  uint64_t limited_groups_paused_until_ns_ = 0;
  uint64_t limits_used_ns_ = 0;  // 0: never
  std::vector<std::string> folders_;
  uint32_t next_folder_ = 0;
  uint32_t next_group_ = 0;
  uint32_t next_list_ = 1;
  size_t peak_ = 1;
  uint64_t peak_ns_ = 0;
};

}  // namespace caisson
