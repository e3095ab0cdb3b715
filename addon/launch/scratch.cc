// zone: native
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "launch/launch.h"

namespace caisson::launch {

// The mode of upper/ is the mode of the container's "/"; work/ is the kernel's alone.
Result<> MakeScratch(int folder_fd) {
  const mode_t mask = umask(0);
  const bool upper = mkdirat(folder_fd, "upper", 0755) == 0 || errno == EEXIST;
  const bool work = upper && (mkdirat(folder_fd, "work", 0700) == 0 || errno == EEXIST);
  const int error = errno;
  (void)umask(mask);
  if (!work) return Fail(Step::kScratchFolder, error);
  return {};
}

}  // namespace caisson::launch
