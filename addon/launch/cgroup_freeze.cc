// zone: native
#include "launch/cgroup_freeze.h"

#include <poll.h>

#include "launch/cgroup_files.h"
#include "launch/launch.h"
#include "launch/patience.h"

namespace caisson::launch {
namespace {

constexpr int64_t kPatienceMs = 3000;
constexpr int kLooks = 20;  // of one attempt at a v1 group, a millisecond apart

// Tells of a change by POLLPRI, to who has read what was before.
int AwaitFrozen(int folder) {
  const UniqueFd events(openat(folder, "cgroup.events", O_RDONLY | O_CLOEXEC));
  if (!events) return errno;
  const int64_t deadline = NowMs() + kPatienceMs;
  for (;;) {
    char text[256];
    const ssize_t got = pread(events.get(), text, sizeof text - 1, 0);
    if (got < 0) return errno;
    text[got] = '\0';
    if (strstr(text, "frozen 1") != nullptr) return 0;
    const int64_t left = deadline - NowMs();
    if (left <= 0) return EBUSY;
    pollfd changed = {.fd = events.get(), .events = POLLPRI, .revents = 0};
    (void)poll(&changed, 1, static_cast<int>(left));
  }
}

int FreezeV1(int folder) {
  const int64_t deadline = NowMs() + kPatienceMs;
  int error = 0;
  do {
    error = FreezeOnceV1(folder);
    if (error != EBUSY) return error;
    (void)WriteGroupFile(folder, "freezer.state", "THAWED");
    PauseMs(1);
  } while (NowMs() < deadline);
  return error;
}

int Thaw(int folder, bool v2) {
  return v2 ? WriteGroupFile(folder, "cgroup.freeze", "0")
            : WriteGroupFile(folder, "freezer.state", "THAWED");
}

int Freeze(int folder, bool v2) {
  int error = v2 ? WriteGroupFile(folder, "cgroup.freeze", "1") : FreezeV1(folder);
  if (error == 0 && v2) error = AwaitFrozen(folder);
  if (error != 0) (void)Thaw(folder, v2);
  return error;
}

}  // namespace

int FreezeOnceV1(int folder) {
  const int error = WriteGroupFile(folder, "freezer.state", "FROZEN");
  if (error != 0) return error;
  for (int look = 0; look < kLooks; ++look) {
    if (ReadGroupFile(folder, "freezer.state").starts_with("FROZEN")) return 0;
    PauseMs(1);
  }
  return EBUSY;
}

Result<> SetFrozen(const Host& host, const std::string& name, Freezing wanted) {
  for (const Hierarchy& hierarchy : host.hierarchies) {
    if ((hierarchy.controls & Bit(protocol::Control::kFreeze)) == 0) continue;
    const UniqueFd folder(openat(hierarchy.folder.get(), name.c_str(),
                                 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) return FailErrno(Step::kFreeze);
    const int error = wanted == Freezing::kFreeze ? Freeze(folder.get(), hierarchy.v2)
                                                  : Thaw(folder.get(), hierarchy.v2);
    if (error != 0) return Fail(Step::kFreeze, error);
    return {};
  }
  return Fail(Step::kFreeze, EOPNOTSUPP);
}

}  // namespace caisson::launch
