// zone: native
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/cgroup_files.h"
#include "launch/cgroup_kill.h"
#include "launch/device_control.h"
#include "launch/launch.h"
#include "launch/patience.h"

namespace caisson::launch {
namespace {

constexpr int kMaxDepth = 64;  // containers may nest groups; nobody needs more
constexpr int64_t kPatienceMs = 2000;

// mkdir for a path below `base`, whose first parts may be there.
Result<UniqueFd> MakeGroup(int base, const std::string& name, uint32_t index) {
  size_t slash = 0;
  while ((slash = name.find('/', slash)) != std::string::npos) {
    const std::string parent = name.substr(0, slash++);
    if (mkdirat(base, parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return FailErrno(Step::kCgroupCreate, index);
    }
  }
  if (mkdirat(base, name.c_str(), 0755) != 0 && errno != EEXIST) {
    return FailErrno(Step::kCgroupCreate, index);
  }
  UniqueFd folder(openat(base, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return FailErrno(Step::kCgroupCreate, index);
  return folder;
}

// Removes a group's folder, children first. EBUSY while processes are on their way out.
int RemoveTree(int base, const char* name, int depth) {
  if (depth > kMaxDepth) return ELOOP;
  if (unlinkat(base, name, AT_REMOVEDIR) == 0 || IsGone(errno)) return 0;
  if (errno != EBUSY && errno != ENOTEMPTY) return errno;
  const int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return IsGone(errno) ? 0 : errno;
  DIR* folder = fdopendir(fd);
  if (folder == nullptr) {
    const int error = errno;
    (void)close(fd);
    return error;
  }
  int error = 0;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    error = RemoveTree(fd, entry->d_name, depth + 1);
    if (error != 0) break;
  }
  (void)closedir(folder);
  if (error != 0) return error;
  if (unlinkat(base, name, AT_REMOVEDIR) == 0 || IsGone(errno)) return 0;
  return errno;
}

// Sleeps until a v2 group may have changed its "populated", or a moment in any case. A file that
// was not read before polls as changed at once, so it is read first.
void AwaitChange(int base, const std::string& name, bool v2, int64_t milliseconds) {
  if (v2) {
    const UniqueFd events(openat(base, (name + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    char text[256];
    const ssize_t got = events ? read(events.get(), text, sizeof text - 1) : -1;
    if (got > 0) {
      text[got] = '\0';
      if (strstr(text, "populated 0") != nullptr) return;
      pollfd poll_fd = {.fd = events.get(), .events = POLLPRI, .revents = 0};
      (void)poll(&poll_fd, 1, static_cast<int>(milliseconds));
      return;
    }
  }
  PauseMs(milliseconds);
}

// Anybody alive in it or below. A zombie is not.
bool IsPopulated(const Hierarchy& hierarchy, const std::string& name) {
  const char* file = hierarchy.v2 ? "/cgroup.events" : "/cgroup.procs";
  const UniqueFd members(
      openat(hierarchy.folder.get(), (name + file).c_str(), O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t got = members ? read(members.get(), text, sizeof text - 1) : 0;
  if (got <= 0) return false;
  text[got] = '\0';
  return !hierarchy.v2 || strstr(text, "populated 1") != nullptr;
}

// The killed die when they next leave the kernel, which may take a moment. Whoever hangs in there
// for longer is not waited for.
void AwaitEmpty(const Hierarchy& hierarchy, const std::string& name) {
  constexpr int64_t kDyingMs = 500;
  const int64_t deadline = NowMs() + kDyingMs;
  while (IsPopulated(hierarchy, name) && NowMs() < deadline) {
    AwaitChange(hierarchy.folder.get(), name, hierarchy.v2, 1);
  }
}

Result<> RemoveFrom(const Hierarchy& hierarchy, const std::string& name, uint32_t index = 0) {
  const int base = hierarchy.folder.get();
  const int64_t deadline = NowMs() + kPatienceMs;
  int64_t pause_ms = 1;
  for (bool killed = false;; killed = true) {
    const int error = RemoveTree(base, name.c_str(), 0);
    if (error == 0) return {};
    if (error != EBUSY) return Fail(Step::kCgroupRemove, error, index);
    if (NowMs() >= deadline) return Fail(Step::kCgroupRemove, EBUSY, index);
    // Once is enough unless somebody was born meanwhile, so again at each further look.
    if (const int failed = KillGroup(hierarchy, name); failed != 0 && !killed) {
      return Fail(Step::kCgroupRemove, failed, index);
    }
    AwaitChange(base, name, hierarchy.v2, pause_ms);
    pause_ms = pause_ms < 50 ? pause_ms * 2 : 50;
  }
}

// The hierarchy in which groups are killed, and in which an exec has one of its own: v2, where
// there is one, else the freezer. -1: there is none at all.
int KillingHierarchy(const Host& host) {
  int found = -1;
  for (size_t i = 0; i < host.hierarchies.size(); ++i) {
    const Hierarchy& hierarchy = host.hierarchies[i];
    if (!hierarchy.always) continue;
    if (hierarchy.v2) return static_cast<int>(i);
    if (found < 0 || hierarchy.name == "freezer") found = static_cast<int>(i);
  }
  return found;
}

bool IsIn(const Hierarchy& hierarchy, uint64_t controls) {
  return hierarchy.always || (hierarchy.controls & controls) != 0;
}

// The group in each hierarchy that it is in, as `take` gives it. Half a group is none: what was
// made goes again.
template <typename Take>
Result<Cgroup> EachFolder(const Host& host, const std::string& name, uint64_t controls, Take take) {
  Cgroup cgroup;
  cgroup.name = name;
  for (size_t i = 0; i < host.hierarchies.size(); ++i) {
    UniqueFd& folder = cgroup.folders.emplace_back();
    if (!IsIn(host.hierarchies[i], controls)) continue;
    Result<UniqueFd> taken = take(i);
    if (!taken) return std::unexpected(taken.error());
    folder = std::move(*taken);
  }
  return cgroup;
}

Result<UniqueFd> OpenFolder(const Hierarchy& hierarchy, const std::string& name, size_t index) {
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd folder(openat(hierarchy.folder.get(), name.c_str(), kFlags));
  if (!folder) return FailErrno(Step::kCgroupCreate, static_cast<uint32_t>(index));
  return folder;
}

}  // namespace

Result<Cgroup> MakeCgroup(const Host& host, const std::string& name, uint64_t controls,
                          List<DeviceRule> rules) {
  auto cgroup = EachFolder(host, name, controls, [&](size_t i) {
    return MakeGroup(host.hierarchies[i].folder.get(), name, static_cast<uint32_t>(i));
  });
  const Result<> ruled =
      cgroup ? ControlDevices(host, rules, *cgroup) : Result<>(std::unexpected(cgroup.error()));
  if (ruled) return cgroup;
  for (const Hierarchy& hierarchy : host.hierarchies) {
    if (IsIn(hierarchy, controls)) (void)RemoveTree(hierarchy.folder.get(), name.c_str(), 0);
  }
  return std::unexpected(ruled.error());
}

Result<Cgroup> OpenCgroup(const Host& host, const std::string& name, uint64_t controls) {
  return EachFolder(host, name, controls,
                    [&](size_t i) { return OpenFolder(host.hierarchies[i], name, i); });
}

Result<Cgroup> MakeExecCgroup(const Host& host, const std::string& parent, const std::string& name,
                              uint64_t controls) {
  const int own = KillingHierarchy(host);
  return EachFolder(host, name, controls, [&](size_t i) {
    const Hierarchy& hierarchy = host.hierarchies[i];
    const bool others = static_cast<int>(i) != own;
    // The container may be in fewer hierarchies than who may mount has to be.
    if (others && (controls & kEveryHierarchy) == 0) return OpenFolder(hierarchy, parent, i);
    return MakeGroup(hierarchy.folder.get(), others ? parent : name, static_cast<uint32_t>(i));
  });
}

Result<> RemoveGroup(const Hierarchy& hierarchy, const std::string& name) {
  return RemoveFrom(hierarchy, name);
}

Result<> KillCgroup(const Host& host, const std::string& name) {
  const int killing = KillingHierarchy(host);
  if (killing < 0) return {};
  const Hierarchy& hierarchy = host.hierarchies[static_cast<size_t>(killing)];
  if (const int error = KillGroup(hierarchy, name); error != 0) {
    return Fail(Step::kCgroupRemove, error);
  }
  AwaitEmpty(hierarchy, name);
  return {};
}

// v2 first, whose kill is the surest: the others are then empty. Each is tried, the first failure
// is told.
Result<> RemoveCgroup(const Host& host, const std::string& name) {
  Result<> result;
  for (size_t i = 0; i < host.hierarchies.size(); ++i) {
    const auto removed = RemoveFrom(host.hierarchies[i], name, static_cast<uint32_t>(i));
    if (!removed && result) result = removed;
  }
  return result;
}

}  // namespace caisson::launch
