// zone: native
#include "supervisor/memfd_exec.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>

#include <vector>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

constexpr unsigned kMfdCloexec = 1;
constexpr unsigned kMfdAllowSealing = 2;
constexpr unsigned kMfdExec = 0x10;
constexpr int kAddSeals = 1033;
constexpr int kAllSeals = 1 | 2 | 4 | 8;  // seal, shrink, grow, write

int CopyAll(int from, int to) {
  struct stat info = {};
  if (fstat(from, &info) != 0) return errno;
  off_t left = info.st_size;
  while (left > 0) {
    const ssize_t n =
        RetryEintr([&] { return sendfile(to, from, nullptr, static_cast<size_t>(left)); });
    if (n < 0) return errno;
    if (n == 0) return EIO;
    left -= n;
  }
  return 0;
}

Result<UniqueFd> SealedMemfd(int self) {
  const char* name = "caisson-supervisor";
  int fd =
      static_cast<int>(syscall(SYS_memfd_create, name, kMfdCloexec | kMfdAllowSealing | kMfdExec));
  // Kernels before 6.3 do not know the flag. Remove when 6.3 is the floor.
  if (fd < 0 && errno == EINVAL) {
    fd = static_cast<int>(syscall(SYS_memfd_create, name, kMfdCloexec | kMfdAllowSealing));
  }
  if (fd < 0) return FailErrno(Step::kMemfd);
  UniqueFd copy(fd);
  if (const int error = CopyAll(self, copy.get()); error != 0) return Fail(Step::kMemfd, error);
  (void)fchmod(copy.get(), 0500);  // Only tidiness: the seals are what holds.
  if (fcntl(copy.get(), kAddSeals, kAllSeals) != 0) return FailErrno(Step::kMemfd);
  return copy;
}

// vm.memfd_noexec=2 forbids executable memfds: a nameless file, reopened for reading only, so that
// no writable descriptor of it exists while it runs.
Result<UniqueFd> NamelessFile(int self, const char* folder) {
  UniqueFd file(open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0500));
  if (!file) return FailErrno(Step::kMemfd);
  if (const int error = CopyAll(self, file.get()); error != 0) return Fail(Step::kMemfd, error);
  char path[32];
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file.get());
  UniqueFd readable(open(path, O_RDONLY | O_CLOEXEC));
  if (!readable) return FailErrno(Step::kMemfd);
  return readable;
}

}  // namespace

Failure ExecSealedCopy(std::span<const char* const> folders, char* const* argv) {
  UniqueFd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self) return {.step = Step::kMemfd, .error = errno};

  char* const no_environment[] = {nullptr};
  Failure failure;
  if (auto copy = SealedMemfd(self.get()); copy) {
    (void)syscall(SYS_execveat, copy->get(), "", argv, no_environment, AT_EMPTY_PATH);
    failure = {.step = Step::kReexec, .error = errno};
  } else {
    failure = copy.error();
  }
  if (failure.error != EACCES && failure.error != EPERM && failure.error != ENOSYS) return failure;

  for (const char* folder : folders) {
    if (lseek(self.get(), 0, SEEK_SET) != 0) break;
    if (auto file = NamelessFile(self.get(), folder); file) {
      (void)syscall(SYS_execveat, file->get(), "", argv, no_environment, AT_EMPTY_PATH);
    }
  }
  return failure;
}

Failure ExecSealed(std::span<const char* const> folders, int argc, char** argv) {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return {Step::kNonDumpable, 0, errno, 0};
  std::vector<char*> arguments(argv, argv + argc);
  char sealed[] = "--sealed";
  arguments.push_back(sealed);
  arguments.push_back(nullptr);
  return ExecSealedCopy(folders, arguments.data());
}

}  // namespace caisson
