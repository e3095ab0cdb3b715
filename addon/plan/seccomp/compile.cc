// zone: native
#include "plan/seccomp/compile.h"

#include <linux/audit.h>

#include <algorithm>
#include <ranges>
#include <span>

#include "plan/seccomp/conditions.h"
#include "plan/seccomp/decisions.h"
#include "plan/seccomp/emitter.h"

namespace caisson::seccomp {
namespace {

using Label = Emitter::Label;

constexpr uint32_t kNumberOffset = offsetof(seccomp_data, nr);
constexpr uint32_t kArchitectureOffset = offsetof(seccomp_data, arch);
constexpr size_t kMaxIslands = 4;

// The architecture that the 32-bit programs of a machine are of.
constexpr Architecture NarrowOf(Architecture machine) noexcept {
  return machine == Architecture::kX86_64 ? Architecture::kI386 : Architecture::kArm;
}

constexpr uint32_t AuditName(Architecture architecture) noexcept {
  switch (architecture) {
    case Architecture::kX86_64:
    case Architecture::kX32:
      return AUDIT_ARCH_X86_64;
    case Architecture::kI386:
      return AUDIT_ARCH_I386;
    case Architecture::kAarch64:
      return AUDIT_ARCH_AARCH64;
    case Architecture::kArm:
      return AUDIT_ARCH_ARM;
  }
  return 0;
}

// Finds the outcome for the number in the accumulator, by comparing it with the middle of what is
// left.
class Tree {
 public:
  Tree(Emitter& emitter, Width width) noexcept : emitter_(emitter), width_(width) {}

  // `outcome` is not code of this tree's own, but this place.
  void Lead(const Outcome* outcome, Label label) { places_[outcome] = label; }

  [[nodiscard]] Label Emit(std::span<const Range> ranges) {
    return EmitPart(ranges, UINT64_C(1) << 32);
  }

 private:
  [[nodiscard]] Label EmitPart(std::span<const Range> ranges, uint64_t end);
  [[nodiscard]] bool EmitIslands(std::span<const Range> ranges, uint64_t end, Label* label);
  [[nodiscard]] Label EmitOutcome(const Outcome* outcome);

  Emitter& emitter_;
  Width width_;
  std::map<const Outcome*, Label> places_;
};

uint64_t EndOf(std::span<const Range> ranges, size_t index, uint64_t end) noexcept {
  return index + 1 < ranges.size() ? ranges[index + 1].first : end;
}

// One call between two ranges of the same outcome: one comparison tells it from both, if no cut is
// made beside it.
bool IsIsland(std::span<const Range> ranges, size_t index) noexcept {
  return index > 0 && index + 1 < ranges.size() &&
         ranges[index + 1].first == ranges[index].first + 1 &&
         ranges[index - 1].outcome == ranges[index + 1].outcome;
}

size_t CutOf(std::span<const Range> ranges) noexcept {
  const size_t middle = ranges.size() / 2;
  const auto cost = [&ranges](size_t cut) {
    return (IsIsland(ranges, cut - 1) ? 1 : 0) + (IsIsland(ranges, cut) ? 1 : 0);
  };
  size_t best = middle;
  for (size_t step = 1; step <= 2 && cost(best) > 0; ++step) {
    if (middle > step && cost(middle - step) < cost(best)) best = middle - step;
    if (middle + step < ranges.size() && cost(middle + step) < cost(best)) best = middle + step;
  }
  return best;
}

// A few single calls in a sea of one outcome.
bool Tree::EmitIslands(std::span<const Range> ranges, uint64_t end, Label* label) {
  for (const size_t candidate : {size_t{0}, size_t{1}}) {
    const Outcome* sea = ranges[candidate].outcome;
    std::vector<Range> islands;
    bool single = true;
    for (size_t i = 0; i < ranges.size(); ++i) {
      if (ranges[i].outcome == sea) continue;
      single = single && EndOf(ranges, i, end) - ranges[i].first == 1;
      islands.push_back(ranges[i]);
    }
    if (!single || islands.size() > kMaxIslands || islands.size() + 1 >= ranges.size()) continue;
    *label = EmitOutcome(sea);
    for (const Range& island : std::views::reverse(islands)) {
      const Label there = EmitOutcome(island.outcome);
      *label = emitter_.Jump(BPF_JEQ, island.first, there, *label);
    }
    return true;
  }
  return false;
}

Label Tree::EmitPart(std::span<const Range> ranges, uint64_t end) {
  if (emitter_.full()) return 0;
  if (ranges.size() == 1) return EmitOutcome(ranges[0].outcome);
  Label label = 0;
  if (ranges.size() <= 2 * kMaxIslands + 1 && EmitIslands(ranges, end, &label)) return label;

  const size_t cut = CutOf(ranges);
  const uint32_t border = ranges[cut].first;
  const Label above = EmitPart(ranges.subspan(cut), end);
  const Label below = EmitPart(ranges.first(cut), border);
  return emitter_.Jump(BPF_JGE, border, above, below);
}

Label Tree::EmitOutcome(const Outcome* outcome) {
  const auto found = places_.find(outcome);
  if (found != places_.end()) return found->second;
  Label label = emitter_.Return(outcome->otherwise);
  for (const Rule* rule : std::views::reverse(outcome->conditional)) {
    if (emitter_.full()) return 0;
    label = EmitConditions(emitter_, *rule, width_, emitter_.Return(rule->verdict), label);
  }
  places_[outcome] = label;
  return label;
}

bool IsWidthIndifferent(const Outcome& outcome) noexcept {
  return std::ranges::all_of(outcome.conditional,
                             [](const Rule* rule) { return seccomp::IsWidthIndifferent(*rule); });
}

// x32's ranges where they say something else than x86_64's, and `same` where they do not.
std::vector<Range> DifferencesOf(std::span<const Range> x32, std::span<const Range> x86_64,
                                 const Outcome* same) {
  std::vector<Range> ranges;
  for (size_t a = 0, b = 0; a < x32.size() && b < x86_64.size();) {
    const bool equal = x32[a].outcome == x86_64[b].outcome && IsWidthIndifferent(*x32[a].outcome);
    const Outcome* outcome = equal ? same : x32[a].outcome;
    const uint32_t first = std::max(x32[a].first, x86_64[b].first);
    if (ranges.empty() || ranges.back().outcome != outcome) ranges.push_back({first, outcome});
    const uint64_t end_a = EndOf(x32, a, UINT64_C(1) << 32);
    const uint64_t end_b = EndOf(x86_64, b, UINT64_C(1) << 32);
    if (end_a <= end_b) ++a;
    if (end_b <= end_a) ++b;
  }
  return ranges;
}

// The tree of x86_64's calls, and before it the one of x32's, which leads into it where both have
// the same call: they differ in a tenth.
Label EmitX86_64(Emitter& emitter, Decisions& decisions, bool with_x32) {
  std::vector<Range> native = decisions.RangesOf(Architecture::kX86_64);
  if (!with_x32) {
    native.push_back({kX32Bit, decisions.Always(SECCOMP_RET_KILL_PROCESS)});
    // What a tracer sets to have a call left out (seccomp(2)).
    native.push_back({UINT32_MAX, decisions.Default()});
    return Tree(emitter, Width::k64).Emit(native);
  }
  const Label native_tree = Tree(emitter, Width::k64).Emit(native);
  const Outcome same;
  const std::vector<Range> x32 = decisions.RangesOf(Architecture::kX32);
  Tree tree(emitter, Width::k32);
  tree.Lead(&same, native_tree);
  const Label x32_tree = emitter.And(~kX32Bit, tree.Emit(DifferencesOf(x32, native, &same)));
  return emitter.Jump(BPF_JGE, kX32Bit, x32_tree, native_tree);
}

Label EmitMachine(Emitter& emitter, Decisions& decisions, const Profile& profile,
                  Architecture machine) {
  if (machine == Architecture::kX86_64) {
    return EmitX86_64(emitter, decisions, (profile.architectures & Bit(Architecture::kX32)) != 0);
  }
  return Tree(emitter, Width::k64).Emit(decisions.RangesOf(machine));
}

}  // namespace

Result<std::vector<sock_filter>> Compile(const Profile& profile, const Target& target) {
  auto decisions = Decisions::Make(profile, target);
  if (!decisions) return std::unexpected(decisions.error());

  Emitter emitter;
  Label start = emitter.Return(SECCOMP_RET_KILL_PROCESS);
  const Architecture narrow = NarrowOf(target.machine);
  if ((profile.architectures & Bit(narrow)) != 0) {
    const Label tree = Tree(emitter, Width::k32).Emit(decisions->RangesOf(narrow));
    start = emitter.Jump(BPF_JEQ, AuditName(narrow), emitter.Load(kNumberOffset, tree), start);
  }
  const Label tree = EmitMachine(emitter, *decisions, profile, target.machine);
  const Label native = emitter.Load(kNumberOffset, tree);
  start = emitter.Jump(BPF_JEQ, AuditName(target.machine), native, start);
  start = emitter.Load(kArchitectureOffset, start);

  if (emitter.full()) return Fail(Step::kSeccomp, E2BIG);
  return emitter.Finish(start);
}

}  // namespace caisson::seccomp
