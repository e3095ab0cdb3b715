// zone: native
#pragma once

#include <stddef.h>

#include <array>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson::launch {

struct Host;

// What a start needs and what no plan changes: namespaces that can be entered, file systems that
// can be attached. All of it costs time to make and to end, and none on the path of a start.
enum class Part : size_t {
  kNet,      // network namespace, lo up
  kIpc,      // IPC namespace
  kUts,      // UTS namespace
  kSys,      // sysfs of kNet; this one and the following are detached mounts
  kMqueue,   // mqueue of kIpc
  kDevices,  // see MakeDevices
  kPts,      // devpts
  kShm,      // tmpfs
};
constexpr size_t kParts = 8;

// Empty parts are made on the path.
struct Kit {
  std::array<UniqueFd, kParts> parts;

  [[nodiscard]] UniqueFd& operator[](Part part) { return parts[static_cast<size_t>(part)]; }
  [[nodiscard]] int fd(Part part) const { return parts[static_cast<size_t>(part)].get(); }
};

// The whole of it, or what could not be made. The caller's own namespaces stay as they are.
[[nodiscard]] Result<Kit> MakeKit(const Host& host);

// The tmpfs that a container's /dev, its masks and its kFile items are taken from. One per start.
[[nodiscard]] Result<UniqueFd> MakeDevices(const Host& host, const char* label);
// Rootless: the host's nodes are bound over those of the detached `devices` already.
[[nodiscard]] bool HasHostNodes(int devices);

}  // namespace caisson::launch
