// zone: child
#include <errno.h>
#include <sched.h>

#include "child/steps.h"
#include "plan/shared_namespaces.h"
#include "sys/loopback.h"
#include "sys/process.h"

namespace caisson::child {
namespace {

// `fd` is a namespace, or a pidfd of the container that it is shared with.
int Enter(Context& context, int fd, Shared kind) noexcept {
  if (fd < 0) return 0;
  const auto position = static_cast<uint32_t>(kind);
  if (sys::SetNs(fd, static_cast<int>(kSharedNamespaces[position].flag)) == 0) return 0;
  if (errno == ESRCH) {  // That one has ended.
    context.step = Step::kShareNamespace;
    context.index = position;
  }
  return errno;
}

}  // namespace

int JoinNetwork(Context& context) noexcept {
  return Enter(context, context.net, Shared::kNet);
}

int JoinPrepared(Context& context) noexcept {
  const int error = Enter(context, context.ipc, Shared::kIpc);
  return error != 0 ? error : Enter(context, context.uts, Shared::kUts);
}

int RaiseLoopback(Context& context) noexcept {
  return context.raise_loopback ? sys::RaiseLoopback() : 0;
}

}  // namespace caisson::child
