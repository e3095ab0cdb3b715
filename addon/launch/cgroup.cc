// zone: native
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "launch/cgroup_kill.h"
#include "launch/launch.h"

namespace caisson::launch {
namespace {

constexpr int kMaxDepth = 32;  // containers may nest groups; nobody needs more
constexpr int64_t kPatienceNs = 2'000'000'000;

int64_t Now() noexcept {
  timespec time = {};
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void Pause(int64_t milliseconds) noexcept {
  const timespec time = {.tv_sec = 0, .tv_nsec = milliseconds * 1'000'000};
  (void)nanosleep(&time, nullptr);
}

// Gone, or on its way: the kernel says ENODEV for files of a removed group.
bool IsGone(int error) noexcept {
  return error == ENOENT || error == ENODEV;
}

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
  Pause(milliseconds);
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
  constexpr int64_t kDyingNs = 500'000'000;
  const int64_t deadline = Now() + kDyingNs;
  while (IsPopulated(hierarchy, name) && Now() < deadline) {
    AwaitChange(hierarchy.folder.get(), name, hierarchy.v2, 1);
  }
}

Result<> RemoveFrom(const Hierarchy& hierarchy, const std::string& name, uint32_t index) {
  const int base = hierarchy.folder.get();
  const int64_t deadline = Now() + kPatienceNs;
  int64_t pause_ms = 1;
  for (bool killed = false;; killed = true) {
    const int error = RemoveTree(base, name.c_str(), 0);
    if (error == 0) return {};
    if (error != EBUSY) return Fail(Step::kCgroupRemove, error, index);
    if (Now() >= deadline) return Fail(Step::kCgroupRemove, EBUSY, index);
    // Once is enough unless somebody was born meanwhile, so again at each further look.
    if (const int failed = KillGroup(hierarchy, name); failed != 0 && !killed) {
      return Fail(Step::kCgroupRemove, failed, index);
    }
    AwaitChange(base, name, hierarchy.v2, pause_ms);
    pause_ms = pause_ms < 50 ? pause_ms * 2 : 50;
  }
}

}  // namespace

Result<Cgroup> MakeCgroup(const Host& host, const std::string& name) {
  Cgroup cgroup;
  cgroup.name = name;
  for (size_t i = 0; i < host.hierarchies.size(); ++i) {
    auto folder = MakeGroup(host.hierarchies[i].folder.get(), name, static_cast<uint32_t>(i));
    if (!folder) {
      // Half a group is none: what was made goes again.
      const Failure failure = folder.error();
      for (size_t made = 0; made < i; ++made) {
        (void)RemoveTree(host.hierarchies[made].folder.get(), name.c_str(), 0);
      }
      return std::unexpected(failure);
    }
    cgroup.folders.push_back(std::move(*folder));
  }
  return cgroup;
}

Result<> KillCgroup(const Host& host, const std::string& name) {
  // Everybody is in every hierarchy: the first that can kill is enough, and v2 comes first.
  int error = 0;
  for (const Hierarchy& hierarchy : host.hierarchies) {
    error = KillGroup(hierarchy, name);
    if (error != 0) continue;
    AwaitEmpty(hierarchy, name);
    return {};
  }
  if (error != 0) return Fail(Step::kCgroupRemove, error);
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
