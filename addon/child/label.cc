// zone: child
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "child/steps.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

// Whose label it is that fails: lib/native/failure.ts.
constexpr uint32_t kSelinux = 1;

// Through a procfs of ours, for a write that the image leads elsewhere would leave us without
// (CVE-2019-16884, CVE-2025-52881).
int WriteAttribute(int proc, const char* path, const char* text) noexcept {
  const int file = sys::OpenProcFile(proc, path, O_WRONLY | O_NOFOLLOW);
  if (file < 0) return errno;
  const size_t length = strlen(text);
  const ssize_t written = write(file, text, length);
  const int error = written < 0 ? errno : static_cast<size_t>(written) == length ? 0 : EIO;
  (void)close(file);
  return error;
}

}  // namespace

// Keys are the container's to read only when they are labelled as its processes are.
int LabelKeys(Context& context) noexcept {
  const char* label = context.process->selinux;
  if (label == nullptr) return 0;
  context.index = kSelinux;
  return WriteAttribute(context.proc, "self/attr/keycreate", label);
}

// What security modules make of us at the execve.
int SetLabel(Context& context) noexcept {
  const ProcessPlan& process = *context.process;
  if (process.apparmor != nullptr) {
    // Its own folder first: the plain file belongs to whichever module comes first.
    int error = WriteAttribute(context.proc, "self/attr/apparmor/exec", process.apparmor);
    if (error == ENOENT) {
      error = WriteAttribute(context.proc, "self/attr/exec", process.apparmor);
    }
    if (error != 0) return error;
  }
  if (process.selinux == nullptr) return 0;
  context.index = kSelinux;
  // It has no folder: where it is, the plain file is its own.
  return WriteAttribute(context.proc, "self/attr/exec", process.selinux);
}

}  // namespace caisson::child
