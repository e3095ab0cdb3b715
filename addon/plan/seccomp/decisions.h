// zone: native
#pragma once

#include <set>
#include <vector>

#include "base/result.h"
#include "plan/seccomp/compile.h"
#include "plan/seccomp/profile.h"
#include "plan/seccomp/syscall_table.h"

namespace caisson::seccomp {

// x32 is x86_64 with this bit in the number of the call.
constexpr uint32_t kX32Bit = 0x40000000;

// What is done with a call: rules that are asked in order, and what holds when none is met.
struct Outcome {
  std::vector<const Rule*> conditional;
  Verdict otherwise = 0;
  auto operator<=>(const Outcome&) const = default;
};

// Calls from `first` up to the next range's first, or to the end of all numbers.
struct Range {
  uint32_t first = 0;
  const Outcome* outcome = nullptr;  // equal outcomes are one object
};

// A profile for one target, as ranges of call numbers of each architecture.
class Decisions {
 public:
  [[nodiscard]] static Result<Decisions> Make(const Profile& profile, const Target& target);

  // Ascending, from 0 on; neighbours differ. x32's numbers are without their bit.
  [[nodiscard]] std::vector<Range> RangesOf(Architecture architecture);

  [[nodiscard]] const Outcome* Always(Verdict verdict) { return Intern({{}, verdict}); }
  [[nodiscard]] const Outcome* Default() { return Always(default_); }

 private:
  struct Use {
    const Syscall* call;
    const Rule* rule;
  };

  [[nodiscard]] Result<> Add(const Rule& rule, uint32_t index);
  [[nodiscard]] const Outcome* Intern(Outcome outcome) {
    return &*outcomes_.insert(std::move(outcome)).first;
  }

  Verdict default_ = 0;
  std::vector<Use> uses_;
  std::set<Outcome> outcomes_;
};

}  // namespace caisson::seccomp
