// zone: child
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/steps.h"
#include "init/init.h"
#include "sys/credentials.h"
#include "sys/path.h"
#include "sys/process.h"

namespace caisson::child {
namespace {

// Whether `path` is a file that we may execute, judged with the ids and capabilities we have now.
int CheckExecutable(const char* path) noexcept {
  if (sys::AccessEffective(AT_FDCWD, path, X_OK) != 0) return errno;
  struct stat info;
  if (fstatat(AT_FDCWD, path, &info, 0) != 0) return errno;
  return S_ISREG(info.st_mode) ? 0 : EACCES;
}

bool HasReader(int pipe) noexcept {
  struct pollfd poll_fd = {.fd = pipe, .events = 0, .revents = 0};
  return poll(&poll_fd, 1, 0) <= 0 || (poll_fd.revents & POLLERR) == 0;
}

}  // namespace

// For a child of a one-shot parent, or of a supervisor without a pid namespace, with which the
// others' children end.
int DieWithParent(Context& context) noexcept {
  if (!context.die_with_parent) return 0;
  if (sys::Prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  // It may have died before. getppid() is 0 across pid namespaces and tells nothing; the report
  // pipe's reader goes with it.
  return HasReader(context.report) ? 0 : ESRCH;
}

namespace {

// To the two numbers that it expects them at.
int KeepForInit(Context& context) noexcept {
  constexpr int kAbove = init::kInitImage + 1;
  const int report = fcntl(context.report, F_DUPFD_CLOEXEC, kAbove);
  const int image = fcntl(context.init, F_DUPFD_CLOEXEC, kAbove);
  if (report < 0 || image < 0) return errno;
  if (dup3(report, init::kInitReport, O_CLOEXEC) < 0 ||
      dup3(image, init::kInitImage, O_CLOEXEC) < 0) {
    return errno;
  }
  context.report = init::kInitReport;
  context.init = init::kInitImage;
  return sys::CloseRange(kAbove, UINT_MAX, 0) == 0 || errno == ENOSYS ? 0 : errno;
}

// Without a signal let in: it takes them itself.
int ExecuteInit(Context& context, const char* path) noexcept {
  context.step = Step::kInit;
  const char** const argv = context.launch->init_argv;
  const char** const envp = context.process->envp;
  argv[1] = path;
  if (fcntl(init::kInitReport, F_SETFD, 0) != 0) return errno;
  (void)syscall(SYS_execveat, init::kInitImage, "", argv, envp, AT_EMPTY_PATH);
  // A filter of the container's that knows execve alone.
  const int error = errno;
  (void)execve("/proc/self/fd/4", const_cast<char* const*>(argv), const_cast<char* const*>(envp));
  (void)fcntl(init::kInitReport, F_SETFD, FD_CLOEXEC);
  return error;
}

}  // namespace

int CloseDescriptors(Context& context) noexcept {
#ifdef CAISSON_UNGUARDED
  // All of ours are close-on-exec: one that is not, as a mistake of ours would leave it.
  if (fcntl(context.rootfs, F_DUPFD, 100) < 0) return errno;
#endif
  if (!CAISSON_GUARD(kClosedDescriptors)) return 0;
  if (context.init >= 0) return KeepForInit(context);
  const auto report = static_cast<unsigned>(context.report);
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if (report > kFirst && sys::CloseRange(kFirst, report - 1, 0) != 0 && errno != ENOSYS) {
    return errno;
  }
  if (sys::CloseRange(report + 1, UINT_MAX, 0) == 0) return 0;
  if (errno != ENOSYS) return errno;
  // Remove when kernel 5.9 is the floor. All of ours are close-on-exec anyway.
  for (unsigned fd = kFirst; fd < 4096; ++fd) {
    if (fd != report) (void)close(static_cast<int>(fd));
  }
  return 0;
}

// Looks for the executable first, so that "there is none" and "its interpreter is missing", both
// ENOENT to execve(2), are told apart.
int Execute(Context& context) noexcept {
  const ProcessPlan& process = *context.process;
  context.step = Step::kFindExecutable;
  const char* path = nullptr;
  int error = ENOENT;
  for (const char* candidate : process.exec_candidates) {
    const int found = CheckExecutable(candidate);
    if (found == 0) {
      path = candidate;
      break;
    }
    // "Not executable" says more than "not there", wherever it was met.
    if (found != ENOENT && found != ENOTDIR) error = found;
  }
  if (path == nullptr) return error;

  context.step = Step::kExec;
  (void)umask(process.umask);
  if (context.init >= 0) return ExecuteInit(context, path);
  // What was sent while we were starting arrives now, with the default effect.
  if (sys::SetSignalMask(0, nullptr) != 0) return errno;
  (void)execve(path, const_cast<char* const*>(process.argv),
               const_cast<char* const*>(process.envp));
  return errno;
}

}  // namespace caisson::child
