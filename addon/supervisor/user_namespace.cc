// zone: native
#include "supervisor/user_namespace.h"

#include <sched.h>
#include <stdio.h>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

int WriteFile(const char* path, const char* text) {
  UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file) return errno;
  const auto length = static_cast<ssize_t>(strlen(text));
  return write(file.get(), text, static_cast<size_t>(length)) == length ? 0 : errno;
}

}  // namespace

Result<> EnterUserNamespace() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return FailErrno(Step::kUserNamespace);

  char map[64];
  if (const int error = WriteFile("/proc/self/setgroups", "deny"); error != 0 && error != ENOENT) {
    return Fail(Step::kMapIds, error, 0);
  }
  (void)snprintf(map, sizeof map, "0 %u 1", uid);
  if (const int error = WriteFile("/proc/self/uid_map", map); error != 0) {
    return Fail(Step::kMapIds, error, 1);
  }
  (void)snprintf(map, sizeof map, "0 %u 1", gid);
  if (const int error = WriteFile("/proc/self/gid_map", map); error != 0) {
    return Fail(Step::kMapIds, error, 2);
  }
  return {};
}

}  // namespace caisson
