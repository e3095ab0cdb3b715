// zone: native (usable in the child zone)
#pragma once

#include <sched.h>
#include <stdint.h>

#include "plan/protocol.h"

namespace caisson {

// The namespaces that a container may have together with another one. A failure of one says its
// position here; lib/container/shared-namespaces.ts has the same order.
struct SharedNamespace {
  uint64_t flag;      // CLONE_NEW*
  protocol::Tag tag;  // its value is the id of the other container's Launch
};
enum class Shared : uint32_t { kNet, kIpc, kUts, kPid };
constexpr SharedNamespace kSharedNamespaces[] = {
    {CLONE_NEWNET, protocol::Tag::kSharedNet},
    {CLONE_NEWIPC, protocol::Tag::kSharedIpc},
    {CLONE_NEWUTS, protocol::Tag::kSharedUts},
    {CLONE_NEWPID, protocol::Tag::kSharedPid},
};
constexpr uint32_t kSharedKinds = sizeof kSharedNamespaces / sizeof *kSharedNamespaces;

}  // namespace caisson
