// zone: child
#include <errno.h>
#include <sched.h>

#include "child/steps.h"
#include "sys/loopback.h"
#include "sys/process.h"

namespace caisson::child {

int JoinNetwork(Context& context) noexcept {
  if (context.net < 0) return 0;
  return sys::SetNs(context.net, CLONE_NEWNET) == 0 ? 0 : errno;
}

int JoinPrepared(Context& context) noexcept {
  if (context.ipc >= 0 && sys::SetNs(context.ipc, CLONE_NEWIPC) != 0) return errno;
  if (context.uts >= 0 && sys::SetNs(context.uts, CLONE_NEWUTS) != 0) return errno;
  return 0;
}

int RaiseLoopback(Context& context) noexcept {
  return context.raise_loopback ? sys::RaiseLoopback() : 0;
}

}  // namespace caisson::child
