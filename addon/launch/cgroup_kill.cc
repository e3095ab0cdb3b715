// zone: native
#include "launch/cgroup_kill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "launch/cgroup_files.h"
#include "launch/cgroup_freeze.h"
#include "launch/patience.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxRounds = 64;
constexpr int kDyingMs = 100;

// Pids as this process sees them; 0 stands for one in a pid namespace beside ours.
std::vector<pid_t> ReadPids(int folder) {
  std::vector<pid_t> pids;
  const std::string text = ReadGroupFile(folder, "cgroup.procs");
  for (const char* at = text.c_str(); *at != '\0';) {
    char* end = nullptr;
    const long pid = strtol(at, &end, 10);
    if (end == at) break;
    if (pid > 0) pids.push_back(static_cast<pid_t>(pid));
    at = *end == '\n' ? end + 1 : end;
  }
  return pids;
}

// A pid that was read may belong to somebody else by now: the pidfd holds whoever has it, and only
// if that is still a member is it killed. `way_out`, unless -1: a group that they are moved to.
void KillMembers(int folder, int way_out) {
  std::vector<UniqueFd> pidfds;
  const std::vector<pid_t> before = ReadPids(folder);
  pidfds.reserve(before.size());
  for (const pid_t pid : before) pidfds.emplace_back(sys::PidfdOpen(pid));
  const std::vector<pid_t> after = ReadPids(folder);
  for (size_t i = 0; i < before.size(); ++i) {
    if (!pidfds[i] || std::ranges::find(after, before[i]) == after.end()) continue;
    (void)sys::PidfdSendSignal(pidfds[i].get(), SIGKILL);
    if (way_out < 0) continue;
    (void)WriteGroupFile(way_out, "cgroup.procs", std::to_string(before[i]));
    pollfd end = {.fd = pidfds[i].get(), .events = POLLIN, .revents = 0};
    (void)poll(&end, 1, kDyingMs);
  }
}

// Calls `visit` for a group and every group below it. Returns whether anybody is in any of them.
template <typename Visit>
bool EachGroup(int folder, int depth, Visit visit) {
  visit(folder);
  bool populated = !ReadGroupFile(folder, "cgroup.procs").empty();
  if (depth > kMaxDepth) return populated;
  const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  if (entries == nullptr) {
    if (fd >= 0) (void)close(fd);
    return populated;
  }
  while (const dirent* entry = readdir(entries)) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    const UniqueFd child(
        openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (child && EachGroup(child.get(), depth + 1, visit)) populated = true;
  }
  (void)closedir(entries);
  return populated;
}

bool KillAll(int folder) {
  return EachGroup(folder, 0, [](int group) { KillMembers(group, -1); });
}

void ThawV1(int group) {
  (void)WriteGroupFile(group, "freezer.state", "THAWED");
}

// SIGKILL waits until thawed, and the groups of an exec whose container stands still cannot be:
// those who are killed leave for the one group above both, and run no further than to their end.
void LeaveToDie(int above, int folder) {
  const bool held = ReadGroupFile(folder, "freezer.parent_freezing").starts_with('1');
  if (!held || ReadGroupFile(above, "freezer.state").starts_with("FR")) return;
  (void)EachGroup(folder, 0, [above](int group) { KillMembers(group, above); });
}

// The freezer holds a forking group still, but not reliably, so it is tried again. Never left
// frozen.
int KillByFreezer(const Hierarchy& hierarchy, int folder) {
  for (int round = 0; round < kMaxRounds; ++round) {
    const int error = FreezeOnceV1(folder);
    (void)KillAll(folder);
    (void)EachGroup(folder, 0, ThawV1);
    LeaveToDie(hierarchy.folder.get(), folder);
    if (error == 0) return 0;
  }
  return EBUSY;
}

}  // namespace

int KillGroup(const Hierarchy& hierarchy, const std::string& name) {
  const UniqueFd folder(openat(hierarchy.folder.get(), name.c_str(),
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return IsGone(errno) ? 0 : errno;
  // linux 5.14: forks and migrations included. Else, and where the group is threaded (EOPNOTSUPP):
  if (hierarchy.v2) {
    const int error = WriteGroupFile(folder.get(), "cgroup.kill", "1");
    if (error == 0 || error == ENODEV) return 0;
    if (WriteGroupFile(folder.get(), "cgroup.freeze", "1") == 0) {
      // A frozen task of v2 dies at once when killed.
      (void)KillAll(folder.get());
      (void)WriteGroupFile(folder.get(), "cgroup.freeze", "0");
    }
  } else if (HasGroupFile(folder.get(), "freezer.state")) {
    return KillByFreezer(hierarchy, folder.get());
  }
  // Without a way to hold them still: again until nobody is born any more.
  for (int round = 0; round < kMaxRounds; ++round) {
    if (!KillAll(folder.get())) return 0;
    PauseMs(1);
  }
  return EBUSY;
}

void ThawAll(int folder) {
  (void)EachGroup(folder, 0, ThawV1);
}

}  // namespace caisson::launch
