// zone: native
#include "supervisor/check_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "supervisor/user_namespace.h"
#include "sys/mount.h"

namespace caisson::check {
namespace {

constexpr int kPatienceMs = 5000;

template <size_t N>
void Copy(char (&to)[N], std::string_view from) {
  to[from.copy(to, N - 1)] = '\0';
}

Finding Make(Verdict verdict, const char* cause, int error, std::string_view detail) {
  Finding finding;
  finding.verdict = verdict;
  finding.error = error;
  Copy(finding.cause, cause == nullptr ? "" : cause);
  Copy(finding.detail, detail);
  return finding;
}

// Kills what is left of a trial and takes its status.
int Reap(pid_t child) {
  int status = 0;
  if (RetryEintr([&] { return waitpid(child, &status, 0); }) < 0) return -1;
  return status;
}

// In a chroot no mount is at "/": its propagation cannot be changed, nor can pivot_root leave it.
bool IsChroot() {
  for (const std::string& line : Lines(ReadFile("/proc/self/mountinfo", 1 << 20))) {
    const std::vector<std::string> words = Words(line);
    if (words.size() > 4 && words[4] == "/") return false;
  }
  return true;
}

// Makes the child the place a supervisor works in. What fails here is the finding.
bool Enter(const Host& host, Finding* finding) {
  if (host.rootless) {
    if (!EnterUserNamespace()) {
      *finding = Fail("not-tried", 0, "not tried: there is no user namespace to try it in");
      return false;
    }
  } else if (unshare(CLONE_NEWNS) != 0) {
    *finding = Fail("not-tried", 0, "not tried: there is no mount namespace to try it in");
    return false;
  }
  // Not private but slave: in a user namespace the copied mounts are locked and this is all one may
  // do.
  if (sys::Mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    const int error = errno;
    *finding =
        error == EINVAL && IsChroot()
            ? Fail("chroot", error, "the program runs in a chroot whose root is no mount")
            : Fail(UserNamespaceCause(host, error), error, "mount propagation cannot be changed");
    return false;
  }
  return true;
}

Finding Died(int status, bool late) {
  if (late) return Fail("timeout", 0, "no answer within 5 seconds");
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    return Fail("outer-seccomp", 0, "an outer seccomp filter kills a process that tries it");
  }
  char text[64];
  snprintf(text, sizeof text, "the trial ended with status 0x%x", static_cast<unsigned>(status));
  return Fail("died", 0, text);
}

}  // namespace

Finding Ok(std::string_view detail) {
  return Make(Verdict::kOk, nullptr, 0, detail);
}
Finding Fail(const char* cause, int error, std::string_view detail) {
  return Make(Verdict::kFail, cause, error, detail);
}
Finding Note(const char* cause, int error, std::string_view detail) {
  return Make(Verdict::kNote, cause, error, detail);
}

Finding Try(const Host& host, Where where, const Trial& trial) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail("resources", errno, "pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  const pid_t child = fork();
  if (child < 0) return Fail("resources", errno, "fork");
  if (child == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    read_end.reset();
    Finding finding;
    if (where == Where::kOutside || Enter(host, &finding)) finding = trial();
    (void)!write(write_end.get(), &finding, sizeof finding);
    _exit(0);
  }

  write_end.reset();
  pollfd waiting{.fd = read_end.get(), .events = POLLIN, .revents = 0};
  // EINTR is the caller being asked to stop: the trial is over then, as after its time.
  const bool answered = poll(&waiting, 1, kPatienceMs) == 1;
  Finding finding;
  const bool whole = answered && RetryEintr([&] {
                                   return read(read_end.get(), &finding, sizeof finding);
                                 }) == static_cast<ssize_t>(sizeof finding);
  if (!whole) (void)kill(child, SIGKILL);
  const int status = Reap(child);
  return whole ? finding : Died(status, !answered);
}

Finding TryAsInit(const Host& host, int flags, const Trial& trial) {
  return Try(host, Where::kInside, [&] {
    if (unshare(CLONE_NEWPID | flags) != 0) {
      return Fail("not-tried", 0, "not tried: there are no namespaces to try it in");
    }
    return Try(host, Where::kOutside, trial);
  });
}

const char* UserNamespaceCause(const Host& host, int error) {
  if (ReadWord("/proc/sys/user/max_user_namespaces") == "0") return "max-user-namespaces";
  if (error == ENOSPC || error == EUSERS) return "user-namespace-limit";
  if (error == EINVAL || error == ENOSYS) return host.filtered ? "outer-seccomp" : "kernel-config";
  if (host.uid != 0 && ReadWord("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    return "unprivileged-userns-clone";
  }
  const std::string restricted = ReadWord("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
  if (host.uid != 0 && !restricted.empty() && restricted != "0") return "apparmor";
  if (host.filtered) return "outer-seccomp";
  // The kernel refuses a user namespace there.
  return IsChroot() ? "chroot" : "lsm";
}

std::string ReadFile(const char* path, size_t limit) {
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return {};
  std::string text;
  char block[4096];
  while (text.size() < limit) {
    const ssize_t bytes = RetryEintr([&] { return read(fd.get(), block, sizeof block); });
    if (bytes <= 0) break;
    text.append(block, static_cast<size_t>(bytes));
  }
  return text;
}

std::string ReadWord(const char* path) {
  const std::vector<std::string> lines = Lines(ReadFile(path));
  if (lines.empty()) return {};
  std::string_view line = lines.front();
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  return std::string(line);
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::vector<std::string> Words(std::string_view line) {
  std::vector<std::string> words;
  while (!line.empty()) {
    const size_t end = line.find_first_of(" \t");
    if (end != 0) words.emplace_back(line.substr(0, end));
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
  return words;
}

const char* ErrnoName(int error) {
  if (error == 0) return "-";
#ifdef __GLIBC__
  const char* name = strerrorname_np(error);
  if (name != nullptr) return name;
#endif
  // Without the GNU function: lib/host/check.ts takes the number too.
  static char number[16];
  snprintf(number, sizeof number, "%d", error);
  return number;
}

uint64_t EffectiveCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].effective | (uint64_t{data[1].effective} << 32);
}

}  // namespace caisson::check
