// zone: native
#include "supervisor/cgroup_root.h"

#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <time.h>

#include <string_view>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

using protocol::CgroupMode;

constexpr char kMountPoint[] = "/sys/fs/cgroup";

long FileSystem(const std::string& path) {
  struct statfs info = {};
  if (statfs(path.c_str(), &info) != 0) return 0;
  return static_cast<long>(info.f_type);
}

std::string ReadText(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  std::string text;
  char buffer[2048];
  for (;;) {
    const ssize_t n = RetryEintr([&] { return read(file.get(), buffer, sizeof buffer); });
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

// The path of our own group in the hierarchy whose line in /proc/self/cgroup has this controller
// ("" for cgroup2).
std::string OwnGroup(const char* controller) {
  const std::string text = ReadText("/proc/self/cgroup");
  const std::string wanted = std::string(":") + controller + ":";
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    const size_t found = line.find(wanted);
    if (found != std::string::npos) return line.substr(found + wanted.size());
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return {};
}

// An ordinary user owns a group only where it was delegated: then new groups go below it.
bool IsDelegated(const std::string& folder) {
  return access(folder.c_str(), W_OK) == 0 && access((folder + "/cgroup.procs").c_str(), W_OK) == 0;
}

// Groups are made one component at a time; those that were there belong to others too.
int MakePath(const std::string& base, const std::string& relative) {
  std::string path = base;
  for (size_t at = 0; at < relative.size();) {
    const size_t start = relative.find_first_not_of('/', at);
    if (start == std::string::npos) break;
    const size_t end = relative.find('/', start);
    path += '/' + relative.substr(start, end - start);
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return errno;
    if (end == std::string::npos) break;
    at = end;
  }
  return 0;
}

struct Candidate {
  std::string mount;
  const char* controller;
  bool v2;
};

void SleepMs(long ms) {
  const timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  (void)nanosleep(&pause, nullptr);
}

// Sends SIGKILL to what is in the group itself. Best effort; the caller looks again.
void KillMembers(const std::string& path) {
  UniqueFd kill_file(open((path + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  if (kill_file && write(kill_file.get(), "1", 1) == 1) return;
  const std::string members = ReadText(path + "/cgroup.procs");
  for (size_t at = 0; at < members.size();) {
    const pid_t pid = atoi(members.c_str() + at);
    // 0: a process of a pid namespace that is not ours to see.
    if (pid > 0) (void)kill(pid, SIGKILL);
    const size_t end = members.find('\n', at);
    if (end == std::string::npos) break;
    at = end + 1;
  }
  // A frozen group dies only when thawed (v1).
  UniqueFd freezer(open((path + "/freezer.state").c_str(), O_WRONLY | O_CLOEXEC));
  if (freezer) (void)write(freezer.get(), "THAWED", 6);
}

int RemoveOnce(const std::string& path, int depth) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT || errno == ENODEV) return 0;
  if (depth > 64) return ELOOP;
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return errno == ENOENT ? 0 : errno;
  int first_error = 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
    const int error = RemoveOnce(path + '/' + entry->d_name, depth + 1);
    if (first_error == 0) first_error = error;
  }
  (void)closedir(folder);
  KillMembers(path);
  if (rmdir(path.c_str()) == 0 || errno == ENOENT || errno == ENODEV) return 0;
  return first_error != 0 ? first_error : errno;
}

}  // namespace

Result<CgroupRoots> MakeCgroupRoots(const Options& options, Journal& journal) {
  CgroupRoots roots;
  std::vector<Candidate> candidates;
  const std::string base = kMountPoint;
  if (FileSystem(base) == CGROUP2_SUPER_MAGIC) {
    candidates.push_back({base, "", true});
  } else {
    if (FileSystem(base + "/unified") == CGROUP2_SUPER_MAGIC) {
      candidates.push_back({base + "/unified", "", true});
    }
    for (const char* controller : {"pids", "freezer"}) {
      const std::string mount = base + '/' + controller;
      if (FileSystem(mount) == CGROUP_SUPER_MAGIC) candidates.push_back({mount, controller, false});
    }
  }

  const bool pure_v2 = candidates.size() == 1 && candidates.front().mount == base;
  bool has_v2 = false;
  bool has_v1 = false;
  for (const Candidate& candidate : candidates) {
    std::string parent = candidate.mount;
    if (options.privilege == Privilege::kRootless) {
      parent += OwnGroup(candidate.controller);
      while (parent.size() > 1 && parent.back() == '/') parent.pop_back();
      if (!IsDelegated(parent)) continue;
    }
    if (MakePath(parent, options.cgroup_parent) != 0) continue;
    const std::string path = parent + options.cgroup_parent + '/' + options.id;
    if (auto record = journal.Append("cgroup", path); !record) {
      return std::unexpected(record.error());
    }
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) continue;
    UniqueFd folder(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) continue;
    (candidate.v2 ? has_v2 : has_v1) = true;
    roots.hierarchies.push_back({std::move(folder), candidate.v2, candidate.controller});
  }
  if (has_v2 && pure_v2) {
    roots.mode = CgroupMode::kV2;
  } else if (has_v2) {
    roots.mode = CgroupMode::kHybrid;
  } else if (has_v1) {
    roots.mode = CgroupMode::kV1;
  }
  return roots;
}

Result<> RemoveCgroupPath(const std::string& path) {
  int error = 0;
  for (int waited = 0; waited < 1000; waited += waited < 20 ? 1 : 10) {
    error = RemoveOnce(path, 0);
    if (error == 0) return {};
    SleepMs(waited < 20 ? 1 : 10);
  }
  return Fail(Step::kCgroupRemove, error);
}

}  // namespace caisson
