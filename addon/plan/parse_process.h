// zone: native
#pragma once

#include "plan/field_checks.h"

namespace caisson::plan {

// The fields that Launch and Exec share: what is executed, and as whom.
class ProcessParser {
 public:
  explicit ProcessParser(Arena& arena) noexcept : arena_(arena) {}

  // Makes room for the lists, whose lengths `counts` tells.
  [[nodiscard]] Result<> Begin(const TagCounts& counts) noexcept;

  // True when `field` is one of ours (single ones have been checked for a second occurrence).
  [[nodiscard]] Result<bool> Take(const Field& field, SeenTags& seen) noexcept;

  // Completes the plan: argv is there, the places to look for the executable are known.
  [[nodiscard]] Result<ProcessPlan> End() noexcept;

 private:
  [[nodiscard]] Result<> TakeSingle(const Field& field) noexcept;
  [[nodiscard]] Result<> TakeRlimit(const Field& field) noexcept;
  [[nodiscard]] Result<> TakeSeccomp(const Field& field) noexcept;
  [[nodiscard]] Result<> FindCandidates() noexcept;

  Arena& arena_;
  ProcessPlan plan_;
  ListBuilder<const char*> args_;
  const char** envp_ = nullptr;
  ListBuilder<const char*> groups_;
  ListBuilder<RlimitItem> rlimits_;
  Field seccomp_;
};

}  // namespace caisson::plan
