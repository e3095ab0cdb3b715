// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "child/steps.h"
#include "sys/path.h"
#include "sys/process.h"

namespace caisson::child {

// A time namespace takes offsets only until somebody is in it, so it cannot be a flag of the clone,
// and unshare(2) leaves its caller where it is: time_namespaces(7). A process alone may then enter.
int EnterTimeNamespace(Context& context) noexcept {
  const List<const char*>& offsets = context.launch->time_offsets;
  if (offsets.count == 0) return 0;
  if (sys::Unshare(CLONE_NEWTIME) != 0) return errno;
  const int file = sys::OpenProcFile(context.proc, "self/timens_offsets", O_WRONLY);
  if (file < 0) return errno;
  int error = 0;
  for (const char* line : offsets) {
    if (error == 0 && write(file, line, strlen(line)) < 0) error = errno;
  }
  (void)close(file);
  if (error != 0) return error;

  const int children = openat(context.proc, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
  if (children < 0) return errno;
  if (sys::SetNs(children, CLONE_NEWTIME) != 0) error = errno;
  (void)close(children);
  return error;
}

}  // namespace caisson::child
