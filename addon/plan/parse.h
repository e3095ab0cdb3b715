// zone: native
#pragma once

#include "base/arena.h"
#include "base/fields.h"
#include "base/result.h"
#include "plan/launch_plan.h"

namespace caisson {

// Turns the body of a Launch (an Exec) into a plan whose every pointer lies in `arena`. Nothing of
// `body` is referenced afterwards. Strict: an unknown or repeated single tag, a value out of range,
// a relative path, an empty argv, a string with NUL, counts beyond the limits below are
// Failure{kParse, EINVAL or E2BIG, index = the tag}. Never reads outside `body` (fuzzed).
[[nodiscard]] Result<const LaunchPlan*> ParseLaunch(Bytes body, Arena& arena);
[[nodiscard]] Result<const ExecPlan*> ParseExec(Bytes body, Arena& arena);
// A Launch whose root is a folder of the host, with hooks and namespaces to join: what the one-shot
// form of launch takes, and ParseLaunch refuses.
[[nodiscard]] Result<const LaunchPlan*> ParseBundle(Bytes body, Arena& arena);

// An arena of this size is enough for any body of `body_bytes` (its pages are only touched when
// used). A smaller one may give Failure{kArena, ENOMEM}.
constexpr size_t ParseArenaBytes(size_t body_bytes) noexcept {
  return 4 * body_bytes + 1024 * 1024;
}

constexpr uint32_t kMaxLayers = 500;
constexpr uint32_t kMaxMounts = 4096;
constexpr uint32_t kMaxDeviceRules = 256;
constexpr uint32_t kMaxStrings = 1 << 20;

}  // namespace caisson
