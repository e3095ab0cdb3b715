// zone: native
#pragma once

#include <stdint.h>

#include "plan/list.h"
#include "plan/protocol.h"

// What the cgroup of a container may use, as the request says it.
namespace caisson {

// A number that may be absent, or without bound. Neither is a value that any limit can have.
struct Limit {
  static constexpr uint64_t kNotAsked = UINT64_MAX - 1;
  static constexpr uint64_t kUnlimited = UINT64_MAX;
  uint64_t value = kNotAsked;

  [[nodiscard]] bool asked() const noexcept { return value != kNotAsked; }
  [[nodiscard]] bool unlimited() const noexcept { return value == kUnlimited; }
};

struct IoLimits {
  uint32_t major = 0;
  uint32_t minor = 0;
  Limit weight;
  Limit read_bytes;
  Limit write_bytes;
  Limit read_requests;
  Limit write_requests;
};

struct HugepageLimit {
  const char* size = nullptr;  // as the kernel names its files: "2MB"
  uint64_t bytes = 0;
};

struct LimitsPlan {
  uint64_t controls = 0;  // protocol::Control of all that is asked
  Limit memory;
  Limit memory_swap;  // memory and swap together
  Limit memory_reservation;
  Limit cpu_shares;  // v1; v2 has a weight
  Limit cpu_weight;
  Limit cpu_quota;
  Limit cpu_period;
  const char* cpuset_cpus = nullptr;
  const char* cpuset_mems = nullptr;
  Limit pids;
  List<IoLimits> io;
  List<HugepageLimit> hugepages;
};

// In order: the last rule that fits decides, and what none fits is refused.
struct DeviceRule {
  static constexpr uint32_t kAny = UINT32_MAX;
  bool allow = false;
  char kind = 'a';     // 'c', 'b', or 'a' for both
  uint8_t access = 0;  // protocol::DeviceAccess
  uint32_t major = kAny;
  uint32_t minor = kAny;
};

// Beside the controls that a container is to be limited by: it may mount, and so it is to have a
// group of its own in every v1 hierarchy, or it would see that of its supervisor, or the host's.
constexpr uint64_t kEveryHierarchy = uint64_t{1} << 63;

constexpr uint64_t Bit(protocol::Control control) noexcept {
  return static_cast<uint64_t>(control);
}

}  // namespace caisson
