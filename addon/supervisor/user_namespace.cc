// zone: native
#include "supervisor/user_namespace.h"

#include <sched.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

int WriteFile(const char* path, const char* text) {
  UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file) return errno;
  const auto length = static_cast<ssize_t>(strlen(text));
  return write(file.get(), text, static_cast<size_t>(length)) == length ? 0 : errno;
}

// A process that stays outside. Nobody can map other ids than their own: newuidmap(1) may, for
// those that /etc/subuid gives its caller, which it must be called by before and outside.
class OutsideHelper {
 public:
  explicit OutsideHelper(const IdHelper& helper) {
    if (helper.map.empty()) return;
    std::vector<std::string> words = {helper.program, std::to_string(sys::GetPid())};
    for (size_t at = 0; at <= helper.map.size();) {
      const size_t end = helper.map.find_first_of(":,", at);
      words.push_back(helper.map.substr(at, end == std::string::npos ? end : end - at));
      at = end == std::string::npos ? helper.map.size() + 1 : end + 1;
    }
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) return;
    UniqueFd begin(pair[0]);
    go_.reset(pair[1]);
    pid_ = kernel::Fork(0, &pidfd_);
    if (pid_ != 0) return;
    go_.reset();
    Run(begin.get(), arguments.data());
  }
  OutsideHelper(const OutsideHelper&) = delete;
  OutsideHelper& operator=(const OutsideHelper&) = delete;
  ~OutsideHelper() {
    if (pid_ > 0) (void)Finish();
  }

  void Go() {
    const char byte = 0;
    if (pid_ > 0) (void)!write(go_.get(), &byte, 1);
  }
  // Whether the map is written.
  [[nodiscard]] bool Finish() {
    go_.reset();
    if (pid_ <= 0) return false;
    pid_ = -1;
    siginfo_t info;
    rusage usage;
    return kernel::WaitPidfd(pidfd_.get(), &info, WEXITED, &usage) == 0 &&
           info.si_code == CLD_EXITED && info.si_status == 0;
  }

 private:
  [[noreturn]] static void Run(int begin, char** arguments) {
    char byte = 0;
    if (RetryEintr([&] { return read(begin, &byte, 1); }) != 1) _exit(1);
    // What it has to say is said by Runtime.check().
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) {
      if (null_fd < 0 || dup2(null_fd, fd) < 0) _exit(1);
    }
    (void)sys::CloseRange(3, ~0u, 0);
    (void)sys::SetSignalMask(0, nullptr);
    char* const nothing[] = {nullptr};
    (void)execve(arguments[0], arguments, nothing);
    _exit(1);
  }

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd go_;
};

Result<> MapOne(const char* path, unsigned id, uint32_t index) {
  char map[64];
  (void)snprintf(map, sizeof map, "0 %u 1", id);
  const int error = WriteFile(path, map);
  if (error != 0) return Fail(Step::kMapIds, error, index);
  return {};
}

uint64_t CountIds(const char* path) {
  uint64_t count = 0;
  UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t bytes = file ? read(file.get(), text, sizeof text - 1) : -1;
  if (bytes <= 0) return 0;
  text[bytes] = '\0';
  for (const char* line = text; *line != '\0';) {
    char* end = nullptr;
    const uint64_t first = strtoull(line, &end, 10);
    (void)strtoull(end, &end, 10);
    const uint64_t size = strtoull(end, &end, 10);
    if (first != count) break;
    count += size;
    line = *end == '\n' ? end + 1 : end;
  }
  return count;
}

}  // namespace

Result<> EnterUserNamespace(const IdHelpers& helpers) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  OutsideHelper uids(helpers.uids);
  OutsideHelper gids(helpers.gids);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return FailErrno(Step::kUserNamespace);
  uids.Go();
  gids.Go();
  const bool mapped_uids = uids.Finish();
  if (!gids.Finish()) {
    // user_namespaces(7): or one could leave a group that something is forbidden to.
    if (const int error = WriteFile("/proc/self/setgroups", "deny");
        error != 0 && error != ENOENT) {
      return Fail(Step::kMapIds, error, 0);
    }
    if (const auto made = MapOne("/proc/self/gid_map", gid, 2); !made) return made;
  }
  return mapped_uids ? Result<>() : MapOne("/proc/self/uid_map", uid, 1);
}

MappedIds ReadMappedIds() {
  return {CountIds("/proc/self/uid_map"), CountIds("/proc/self/gid_map")};
}

}  // namespace caisson
