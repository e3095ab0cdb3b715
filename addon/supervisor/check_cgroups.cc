// zone: native
// Which cgroups there are and whether groups may be made in them.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "supervisor/check_probe.h"

namespace caisson::check {
namespace {

struct Mount {
  std::string folder;
  bool v2 = false;
  std::vector<std::string> controllers;  // v1: by its mount options
};

struct Cgroups {
  const char* mode = "none";
  std::vector<Mount> mounts;
};

constexpr const char* kControllers[] = {"cpu",   "cpuset",  "memory",  "pids",   "io",
                                        "blkio", "freezer", "devices", "hugetlb"};

Cgroups Find() {
  Cgroups found;
  bool v1 = false;
  bool v2 = false;
  for (const std::string& line : Lines(ReadFile("/proc/self/mountinfo", 1 << 20))) {
    const std::vector<std::string> words = Words(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 10 || words.end() - dash < 4) continue;
    Mount mount{.folder = words[4], .v2 = dash[1] == "cgroup2", .controllers = {}};
    if (!mount.v2 && dash[1] != "cgroup") continue;
    const std::string options = "," + dash[3] + ",";
    for (const char* name : kControllers) {
      if (options.find(std::string(",") + name + ",") != std::string::npos)
        mount.controllers.emplace_back(name);
    }
    // Hybrid: a named hierarchy without controllers (systemd's own) is nobody's to use.
    if (!mount.v2 && mount.controllers.empty()) continue;
    (mount.v2 ? v2 : v1) = true;
    found.mounts.push_back(std::move(mount));
  }
  found.mode = v1 && v2 ? "hybrid" : v2 ? "v2" : v1 ? "v1" : "none";
  return found;
}

// This process's own group in the v2 hierarchy, as /proc names it.
std::string OwnGroup() {
  for (const std::string& line : Lines(ReadFile("/proc/self/cgroup"))) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "/";
}

Finding Mode(const Host& host) {
  (void)host;
  const Cgroups found = Find();
  if (strcmp(found.mode, "none") == 0)
    return Fail("no-cgroups", 0, "no cgroup file system is mounted");
  return Ok(found.mode);
}

// Makes and removes a group where those of containers would be. Root: below the nearest existing
// folder of the parent; rootless: below the program's own group, which is ours only when it was
// delegated.
Finding MakeGroup(const Host& host, const Mount& mount) {
  std::string folder = mount.folder;
  if (host.rootless) {
    if (!mount.v2) return Fail("not-delegated", 0, "cgroup v1 is not delegated to ordinary users");
    folder += OwnGroup() == "/" ? "" : OwnGroup();
  } else {
    for (size_t end = 1; end != std::string::npos && end < host.cgroup_parent.size();) {
      end = host.cgroup_parent.find('/', end + 1);
      const std::string deeper = mount.folder + host.cgroup_parent.substr(0, end);
      if (access(deeper.c_str(), F_OK) != 0) break;
      folder = deeper;
    }
  }
  folder += "/caisson-check-" + std::to_string(getpid());
  if (mkdir(folder.c_str(), 0755) == 0) {
    (void)rmdir(folder.c_str());
    return Ok();
  }
  const int error = errno;
  const std::string what = "no group can be made in " + folder.substr(0, folder.find_last_of('/'));
  if (error == EROFS) return Fail("read-only-cgroups", error, what + ": it is read-only");
  if (host.rootless)
    return Fail("not-delegated", error, what + ": it is not delegated to this user");
  if (error == EAGAIN)
    return Fail("cgroup-limit", error,
                what + ": cgroup.max.descendants or cgroup.max.depth is reached");
  return Fail("not-writable", error, what);
}

Finding Groups(const Host& host) {
  const Cgroups found = Find();
  if (found.mounts.empty()) return Fail("no-cgroups", 0, "no cgroup file system is mounted");
  std::string where;
  for (const Mount& mount : found.mounts) {
    const bool used =
        mount.v2 || std::ranges::any_of(mount.controllers, [](const std::string& name) {
          return name == "pids" || name == "freezer";
        });
    if (!used || (host.rootless && !mount.v2)) continue;
    const Finding finding = MakeGroup(host, mount);
    if (finding.verdict != Verdict::kOk) return finding;
    where += where.empty() ? mount.folder : " " + mount.folder;
  }
  if (where.empty())
    return Fail("not-delegated", 0, "cgroup v1 is not delegated to ordinary users");
  return Ok(where);
}

// Limits need these; their absence is only missed by who asks for a limit.
Finding Controllers(const Host& host) {
  const Cgroups found = Find();
  std::vector<std::string> have;
  for (const Mount& mount : found.mounts) {
    // Of v1 nothing is delegated, of v2 what the program's own group has, if it may be written.
    if (!host.rootless) {
      have.insert(have.end(), mount.controllers.begin(), mount.controllers.end());
    }
    if (!mount.v2) continue;
    const std::string folder = mount.folder + (host.rootless ? OwnGroup() : "");
    if (host.rootless && access(folder.c_str(), W_OK) != 0) continue;
    for (const std::string& line : Lines(ReadFile((folder + "/cgroup.controllers").c_str()))) {
      const std::vector<std::string> words = Words(line);
      have.insert(have.end(), words.begin(), words.end());
    }
  }
  std::ranges::sort(have);
  have.erase(std::unique(have.begin(), have.end()), have.end());
  std::string list;
  for (const std::string& name : have) list += list.empty() ? name : " " + name;
  std::string missing;
  for (const char* name : {"cpu", "memory", "pids"}) {
    if (!std::ranges::binary_search(have, name)) missing += std::string(" ") + name;
  }
  if (missing.empty()) return Ok(list);
  // The kernel of a Raspberry Pi leaves memory out unless told on its command line.
  return Fail(host.rootless ? "not-delegated" : "kernel-command-line", 0,
              "not available:" + missing);
}

}  // namespace

std::vector<Item> CgroupItems() {
  using enum Weight;
  return {
      {"cgroup-mode", Mode, kNeeded, kWanted},
      {"cgroups", Groups, kNeeded, kWanted},
      {"cgroup-controllers", Controllers, kWanted, kWanted},
  };
}

}  // namespace caisson::check
