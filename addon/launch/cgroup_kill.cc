// zone: native
#include "launch/cgroup_kill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "launch/cgroup_files.h"
#include "launch/patience.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

constexpr int kMaxDepth = 32;
constexpr int kMaxRounds = 64;

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
// if that is still a member is it killed.
void KillMembers(int folder) {
  std::vector<UniqueFd> pidfds;
  const std::vector<pid_t> before = ReadPids(folder);
  pidfds.reserve(before.size());
  for (const pid_t pid : before) pidfds.emplace_back(sys::PidfdOpen(pid));
  const std::vector<pid_t> after = ReadPids(folder);
  for (size_t i = 0; i < before.size(); ++i) {
    if (!pidfds[i]) continue;
    for (const pid_t pid : after) {
      if (pid == before[i]) (void)sys::PidfdSendSignal(pidfds[i].get(), SIGKILL);
    }
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

// The freezer holds a forking group still, but not reliably: it can stay FREEZING while members
// fork on, so it is thawed and tried again. SIGKILL waits until thawed. Never left frozen.
int KillByFreezer(int folder) {
  for (int round = 0; round < kMaxRounds; ++round) {
    bool frozen = false;
    (void)WriteGroupFile(folder, "freezer.state", "FROZEN");
    for (int look = 0; look < 10 && !frozen; ++look) {
      frozen = ReadGroupFile(folder, "freezer.state").starts_with("FROZEN");
      if (!frozen) PauseMs(1);
    }
    (void)EachGroup(folder, 0, KillMembers);
    (void)WriteGroupFile(folder, "freezer.state", "THAWED");
    if (frozen) return 0;
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
      (void)EachGroup(folder.get(), 0, KillMembers);
      (void)WriteGroupFile(folder.get(), "cgroup.freeze", "0");
    }
  } else if (HasGroupFile(folder.get(), "freezer.state")) {
    return KillByFreezer(folder.get());
  }
  // Without a way to hold them still: again until nobody is born any more.
  for (int round = 0; round < kMaxRounds; ++round) {
    if (!EachGroup(folder.get(), 0, KillMembers)) return 0;
    PauseMs(1);
  }
  return EBUSY;
}

}  // namespace caisson::launch
