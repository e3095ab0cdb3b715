// zone: child
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "child/steps.h"
#include "sys/path.h"

namespace caisson::child {

// What AppArmor makes of us at the execve. Its own folder first: the plain file belongs to
// whichever security module comes first. Through a procfs of ours, for a write that the image leads
// elsewhere would leave us without (CVE-2019-16884, CVE-2025-52881).
int SetLabel(Context& context) noexcept {
  const char* text = context.process->apparmor;
  if (text == nullptr) return 0;
  constexpr const char* kFiles[] = {"self/attr/apparmor/exec", "self/attr/exec"};
  int file = -1;
  for (const char* path : kFiles) {
    file = sys::OpenProcFile(context.proc, path, O_WRONLY | O_NOFOLLOW);
    if (file >= 0 || errno != ENOENT) break;
  }
  if (file < 0) return errno;
  const size_t length = strlen(text);
  const ssize_t written = write(file, text, length);
  const int error = written < 0 ? errno : static_cast<size_t>(written) == length ? 0 : EIO;
  (void)close(file);
  return error;
}

}  // namespace caisson::child
