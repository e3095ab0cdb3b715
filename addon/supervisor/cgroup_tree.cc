// zone: native
#include "supervisor/cgroup_tree.h"

#include <algorithm>
#include <utility>

#include "launch/cgroup_files.h"
#include "plan/limits_plan.h"
#include "supervisor/kernel.h"

namespace caisson {

namespace {

using protocol::Control;

// Of v2, by its names.
constexpr std::pair<const char*, Control> kControllers[] = {
    {"memory", Control::kMemory}, {"cpu", Control::kCpu}, {"cpuset", Control::kCpuset},
    {"pids", Control::kPids},     {"io", Control::kIo},   {"hugetlb", Control::kHugepages},
};
// Where processes go that stood in the way, as others name it.
constexpr char kLeaf[] = "/init";
constexpr int kMoveRounds = 20;

int WriteText(const std::string& path, std::string_view text) {
  return launch::WriteGroupFile(AT_FDCWD, path.c_str(), text);
}

bool Has(const std::string& path, const char* file) {
  return launch::HasGroupFile(AT_FDCWD, (path + file).c_str());
}

// By processes of its own. The root of the machine has no type.
bool IsHeld(const std::string& group) {
  return Has(group, "/cgroup.type") && !ReadGroupText(group + "/cgroup.procs").empty();
}

bool IsMember(const std::string& group) {
  return HasWord(ReadGroupText(group + "/cgroup.procs"), std::to_string(getpid()), '\n');
}

// What is there moves to a leaf, again and again, since more may be born meanwhile.
bool MoveToLeaf(const std::string& group) {
  const std::string leaf = group + kLeaf;
  if (mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return false;
  for (int round = 0; round < kMoveRounds; ++round) {
    const std::string members = ReadGroupText(group + "/cgroup.procs");
    if (members.empty()) return true;
    for (size_t at = 0; at < members.size();) {
      const size_t end = std::min(members.find('\n', at), members.size());
      (void)WriteText(leaf + "/cgroup.procs", members.substr(at, end - at));
      at = end + 1;
    }
  }
  return false;
}

// For groups below: of whomever, or where we are in the way ourselves.
enum class Room { kMake, kMakeOurs };

// All at once, which fails wholly when one is refused; then one by one.
//
// A group of v2 that gives controllers to those below may not have processes itself, the root of
// the machine excepted. Some can be given all the same, which makes the group a threaded one, and
// nobody can be put below it. In a container its root is none: who is there makes room, as we do
// elsewhere. Other people's processes stay where they are, and nothing is given.
void EnableControllers(const std::string& group, Room room) {
  const std::string there = ReadGroupText(group + "/cgroup.controllers");
  const std::string control = group + "/cgroup.subtree_control";
  const std::string given = ReadGroupText(control);
  std::string wanted;
  for (const auto& [name, bit] : kControllers) {
    const auto has = [&](const std::string& list) {
      return HasWord(std::string_view(list).substr(0, list.find('\n')), name, ' ');
    };
    if (has(there) && !has(given)) wanted += std::string(wanted.empty() ? "+" : " +") + name;
  }
  if (wanted.empty()) return;
  if (IsHeld(group)) {
    const bool may_move = room == Room::kMake || IsMember(group);
    if (!may_move || !MoveToLeaf(group)) return;
  }
  const int error = WriteText(control, wanted);
  if (error == 0 || error == EBUSY) return;
  for (size_t at = 0; at < wanted.size();) {
    const size_t end = std::min(wanted.find(' ', at), wanted.size());
    (void)WriteText(control, wanted.substr(at, end - at));
    at = end + 1;
  }
}

void CopyDown(const std::string& parent, const std::string& group, const char* file) {
  if (ReadGroupText(group + file).find_first_not_of('\n') != std::string::npos) return;
  (void)WriteText(group + file, ReadGroupText(parent + file));
}

}  // namespace

void StartFromParent(const std::string& parent, const std::string& group) {
  CopyDown(parent, group, "/cpuset.cpus");
  CopyDown(parent, group, "/cpuset.mems");
  // New groups below copy by themselves.
  if (Has(group, "/cpuset.cpus")) {
    (void)WriteText(group + "/cgroup.clone_children", "1");
  }
  // Remove when kernel 5.11 is the floor, where memory is always counted upwards.
  (void)WriteText(group + "/memory.use_hierarchy", "1");
}

std::string ReadGroupText(const std::string& path) {
  return launch::ReadGroupFile(AT_FDCWD, path.c_str());
}

bool HasWord(std::string_view list, std::string_view word, char divider) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(divider, at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

int MakeGroupPath(const std::string& base, const std::string& relative, bool v2) {
  std::string path = base;
  if (v2) EnableControllers(path, Room::kMake);
  for (size_t at = 0; at < relative.size();) {
    const size_t start = relative.find_first_not_of('/', at);
    if (start == std::string::npos) break;
    const size_t end = std::min(relative.find('/', start), relative.size());
    const std::string parent = path;
    path += '/' + relative.substr(start, end - start);
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return errno;
    if (v2) {
      EnableControllers(path, Room::kMakeOurs);
    } else {
      StartFromParent(parent, path);
    }
    at = end;
  }
  return 0;
}

std::string AboveLeaf(std::string group, bool v2) {
  while (group.size() > 1 && group.back() == '/') group.pop_back();
  if (!v2 || !group.ends_with(kLeaf)) return group;
  std::string above = group.substr(0, group.size() - (sizeof kLeaf - 1));
  // Somebody else's leaf, or a group of that name.
  if (access((above + "/cgroup.procs").c_str(), W_OK) != 0) return group;
  return above;
}

uint64_t ControlsOfV2(const std::string& path) {
  const std::string given = ReadGroupText(path + "/cgroup.subtree_control");
  uint64_t controls = 0;
  for (const auto& [name, bit] : kControllers) {
    if (HasWord(std::string_view(given).substr(0, given.find('\n')), name, ' ')) {
      controls |= Bit(bit);
    }
  }
  if (Has(path, "/memory.swap.max")) controls |= Bit(Control::kSwap);
  if (Has(path, "/io.weight") || Has(path, "/io.bfq.weight")) controls |= Bit(Control::kIoWeight);
  if (Has(path, "/cgroup.freeze")) controls |= Bit(Control::kFreeze);  // linux 5.2
  return controls;
}

uint64_t ControlsOfV1(const std::string& path, std::string_view controller) {
  if (controller == "memory") {
    const bool swap = Has(path, "/memory.memsw.limit_in_bytes");
    return Bit(Control::kMemory) | (swap ? Bit(Control::kSwap) : 0);
  }
  if (controller == "blkio") {
    const bool weight = Has(path, "/blkio.weight_device") || Has(path, "/blkio.bfq.weight_device");
    const bool throttle = Has(path, "/blkio.throttle.read_bps_device");
    return (throttle ? Bit(Control::kIo) : 0) | (weight ? Bit(Control::kIoWeight) : 0);
  }
  constexpr std::pair<const char*, Control> kOthers[] = {
      {"cpu", Control::kCpu},           {"cpuset", Control::kCpuset},
      {"pids", Control::kPids},         {"freezer", Control::kFreeze},
      {"hugetlb", Control::kHugepages}, {"devices", Control::kDevices},
  };
  for (const auto& [name, bit] : kOthers) {
    if (controller == name) return Bit(bit);
  }
  return 0;
}

}  // namespace caisson
