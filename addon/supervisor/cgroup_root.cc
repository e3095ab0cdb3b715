// zone: native
#include "supervisor/cgroup_root.h"

#include <limits.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <string_view>

#include "launch/cgroup_kill.h"
#include "launch/device_control.h"
#include "supervisor/cgroup_tree.h"
#include "supervisor/kernel.h"

namespace caisson {

namespace {

using protocol::CgroupMode;
using protocol::Control;

constexpr char kMountPoint[] = "/sys/fs/cgroup";

long FileSystem(const std::string& path) {
  struct statfs info = {};
  if (statfs(path.c_str(), &info) != 0) return 0;
  return static_cast<long>(info.f_type);
}

// Gives the controllers of each hierarchy ("" for cgroup2) and the path of our own group in it,
// from its line in /proc/self/cgroup: "5:cpu,cpuacct:/a", "1:name=systemd:/".
template <typename Take>
void EachOwnGroup(Take take) {
  const std::string text = ReadGroupText("/proc/self/cgroup");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second != std::string_view::npos) {
      take(line.substr(first + 1, second - first - 1), line.substr(second + 1));
    }
    at = end + 1;
  }
}

std::string OwnGroup(std::string_view controller) {
  std::string group;
  EachOwnGroup([&](std::string_view controllers, std::string_view path) {
    if (group.empty() && HasWord(controllers, controller, ',')) group = path;
  });
  return group;
}

// An ordinary user owns a group only where it was delegated: then new groups go below it.
bool IsDelegated(const std::string& folder) {
  return access(folder.c_str(), W_OK) == 0 && access((folder + "/cgroup.procs").c_str(), W_OK) == 0;
}

// A hierarchy that may be used, by where it is mounted.
struct Candidate {
  std::string mount;
  std::string controller;  // "" for cgroup2
  bool always = true;
};

constexpr const char* kLimiting[] = {"memory", "cpu", "cpuset", "blkio", "hugetlb"};
constexpr const char* kAlways[] = {"devices", "pids", "freezer"};

// Those of v1 in which nothing can be limited or held.
void FindOthers(const std::string& base, std::vector<Candidate>* found) {
  EachOwnGroup([&](std::string_view controllers, std::string_view) {
    const auto is_in = [&](const char* name) { return HasWord(controllers, name, ','); };
    if (controllers.empty() || std::ranges::any_of(kLimiting, is_in) ||
        std::ranges::any_of(kAlways, is_in)) {
      return;
    }
    const std::string first(controllers.substr(0, controllers.find(',')));
    found->push_back({base + '/' + first.substr(first.find('=') + 1), first, false});
  });
}

// Undone last in first out: the freezer goes first, since what is frozen there dies nowhere.
std::vector<Candidate> FindCandidates(Privilege privilege, bool* pure_v2) {
  const std::string base = kMountPoint;
  *pure_v2 = FileSystem(base) == CGROUP2_SUPER_MAGIC;
  if (*pure_v2) return {{base, "", true}};
  std::vector<Candidate> found;
  if (FileSystem(base + "/unified") == CGROUP2_SUPER_MAGIC) {
    found.push_back({base + "/unified", "", true});
  }
  // To a user namespace the kernel gives no power over the others.
  if (privilege == Privilege::kRoot) FindOthers(base, &found);
  for (const char* controller : kLimiting) {
    found.push_back({base + '/' + controller, controller, false});
  }
  for (const char* controller : kAlways) {
    found.push_back({base + '/' + controller, controller, true});
  }
  std::erase_if(found, [](const Candidate& candidate) {
    return !candidate.controller.empty() && FileSystem(candidate.mount) != CGROUP_SUPER_MAGIC;
  });
  return found;
}

// What names the hierarchy as a mount option: controllers that are mounted together ("cpu,cpuacct")
// have a link by each name.
std::string MountName(const Candidate& candidate) {
  char target[PATH_MAX];
  // Without controllers.
  if (candidate.controller.starts_with("name=")) return candidate.controller;
  if (candidate.controller.empty()) return {};
  if (realpath(candidate.mount.c_str(), target) == nullptr) return candidate.controller;
  return std::string(target).substr(std::string(target).rfind('/') + 1);
}

// Two controllers of one hierarchy are one.
launch::Hierarchy* FindSame(std::vector<launch::Hierarchy>& hierarchies, int folder) {
  struct stat wanted = {};
  if (fstat(folder, &wanted) != 0) return nullptr;
  for (launch::Hierarchy& hierarchy : hierarchies) {
    struct stat info = {};
    if (fstat(hierarchy.folder.get(), &info) == 0 && info.st_dev == wanted.st_dev) {
      return &hierarchy;
    }
  }
  return nullptr;
}

}  // namespace

Result<CgroupRoots> MakeCgroupRoots(const Options& options, Journal* journal) {
  CgroupRoots roots;
  bool pure_v2 = false;
  bool has_v2 = false;
  bool has_v1 = false;
  const bool rootless = options.privilege == Privilege::kRootless;
  for (const Candidate& candidate : FindCandidates(options.privilege, &pure_v2)) {
    const bool v2 = candidate.controller.empty();
    const bool devices = candidate.controller == "devices";
    if (devices && rootless) continue;
    // Where a program can decide about devices, not everybody needs to be put in one more group.
    const bool always = candidate.always && !(devices && roots.device_program);
    std::string parent = candidate.mount;
    if (rootless) {
      parent = AboveLeaf(parent + OwnGroup(candidate.controller), v2);
      if (!IsDelegated(parent)) continue;
    }
    const std::string path = parent + options.cgroup_parent + '/' + options.id;
    if (MakeGroupPath(parent, options.cgroup_parent, v2) != 0) continue;
    if (journal != nullptr) {
      if (auto record = journal->Append("cgroup", path); !record) {
        return std::unexpected(record.error());
      }
    }
    if (MakeGroupPath(parent, options.cgroup_parent + '/' + options.id, v2) != 0) continue;
    UniqueFd folder(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) continue;
    (v2 ? has_v2 : has_v1) = true;
    if (v2 && !rootless) roots.device_program = launch::TryDeviceProgram(folder.get());
    uint64_t controls = v2 ? ControlsOfV2(path) : ControlsOfV1(path, candidate.controller);
    if (devices && !always) controls = 0;
    roots.controls |= controls;
    if (!v2 && !rootless) controls |= kEveryHierarchy;
    if (launch::Hierarchy* same = FindSame(roots.hierarchies, folder.get())) {
      same->controls |= controls;
      same->always = same->always || always;
      continue;
    }
    roots.bases.push_back({parent, v2});
    roots.hierarchies.push_back({std::move(folder), v2, MountName(candidate), controls, always});
  }
  if (has_v2 && pure_v2) {
    roots.mode = CgroupMode::kV2;
  } else if (has_v2) {
    roots.mode = CgroupMode::kHybrid;
  } else if (has_v1) {
    roots.mode = CgroupMode::kV1;
  }
  if (roots.device_program) {
    roots.device_control = launch::DeviceControl::kProgram;
    roots.controls |= Bit(Control::kDevices);
  } else if ((roots.controls & Bit(Control::kDevices)) != 0) {
    roots.device_control = launch::DeviceControl::kList;
  }
  return roots;
}

namespace {

// A group by its name in the group above it, as launch/ has them.
struct NamedGroup {
  explicit NamedGroup(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) return;
    name = path.substr(slash + 1);
    const std::string parent = path.substr(0, slash);
    above.folder.reset(open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!above.folder) error = errno;
    above.v2 = FileSystem(parent) == CGROUP2_SUPER_MAGIC;
  }
  launch::Hierarchy above;
  std::string name;  // "": it is none
  int error = 0;     // why `above` cannot be opened
};

}  // namespace

void KillCgroupPath(const std::string& path) {
  const NamedGroup group(path);
  if (group.above.folder && group.above.v2) (void)launch::KillGroup(group.above, group.name);
}

Result<> RemoveCgroupPath(const std::string& path) {
  const NamedGroup group(path);
  if (group.name.empty()) return Fail(Step::kCgroupRemove, EINVAL);
  if (!group.above.folder) {
    return group.error == ENOENT ? Result<>() : Fail(Step::kCgroupRemove, group.error);
  }
  return launch::RemoveGroup(group.above, group.name);
}

}  // namespace caisson
