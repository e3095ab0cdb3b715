// zone: native
#include "plan/seccomp/decisions.h"

#include <algorithm>

namespace caisson::seccomp {
namespace {

// Far above what Docker's profile has, with which its compilation stays within milliseconds.
constexpr size_t kMaxUses = 16 * 1024;
constexpr size_t kMaxConditions = 64;

// Where an architecture's calls of its own begin, that do not grow with those of the others: x32's
// variants of calls, and arm's private ones, such as cacheflush.
constexpr uint32_t PrivateCallsOf(Architecture architecture) noexcept {
  if (architecture == Architecture::kX32) return 512;
  return architecture == Architecture::kArm ? 0xf0000 : UINT32_MAX;
}

bool Passes(Verdict verdict) noexcept {
  const Verdict action = verdict & SECCOMP_RET_ACTION_FULL;
  return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG || action == SECCOMP_RET_TRACE;
}

bool Applies(const Rule& rule, const Target& target) noexcept {
  const ArchitectureSet machine = Bit(target.machine);
  if (rule.needs_machine != 0 && (rule.needs_machine & machine) == 0) return false;
  if ((rule.excludes_machine & machine) != 0) return false;
  if ((rule.needs_capabilities & ~target.capabilities) != 0) return false;
  if ((rule.excludes_capabilities & target.capabilities) != 0) return false;
  if (target.kernel < rule.needs_kernel) return false;
  return rule.excludes_kernel == KernelVersion{} || target.kernel < rule.excludes_kernel;
}

void Append(std::vector<Range>& ranges, uint32_t first, const Outcome* outcome) {
  if (!ranges.empty() && ranges.back().first == first) ranges.pop_back();
  if (!ranges.empty() && ranges.back().outcome == outcome) return;
  ranges.push_back({first, outcome});
}

}  // namespace

Result<Decisions> Decisions::Make(const Profile& profile, const Target& target) {
  Decisions decisions;
  decisions.default_ = profile.default_verdict;
  for (uint32_t index = 0; index < profile.rules.size(); ++index) {
    const Rule& rule = profile.rules[index];
    if (!Applies(rule, target)) continue;
    const auto added = decisions.Add(rule, index);
    if (!added) return std::unexpected(added.error());
  }
  return decisions;
}

Result<> Decisions::Add(const Rule& rule, uint32_t index) {
  if (rule.conditions.size() > kMaxConditions) return Fail(Step::kSeccomp, E2BIG, index);
  for (const Condition& condition : rule.conditions) {
    if (condition.argument > 5) return Fail(Step::kSeccomp, EINVAL, index);
  }
  std::string_view rest = rule.names;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    const Syscall* call = FindSyscall(name);
    if (call == nullptr) {
      if (Passes(default_) && !Passes(rule.verdict)) return Fail(Step::kSeccomp, EINVAL, index);
      continue;
    }
    if (uses_.size() == kMaxUses) return Fail(Step::kSeccomp, E2BIG, index);
    uses_.push_back({call, &rule});
  }
  return {};
}

std::vector<Range> Decisions::RangesOf(Architecture architecture) {
  struct Numbered {
    uint32_t number;
    const Rule* rule;
  };
  std::vector<Numbered> uses;
  for (const Use& use : uses_) {
    const int number = NumberOf(*use.call, architecture);
    if (number >= 0) uses.push_back({static_cast<uint32_t>(number), use.rule});
  }
  // Rules about the same call stay in order.
  std::ranges::stable_sort(uses, {}, &Numbered::number);

  const Outcome* other = Default();
  const Outcome* newer = Passes(default_) || uses.empty() ? other : Always(Refuse(ENOSYS));
  std::vector<Range> ranges = {{0, other}};
  const uint32_t private_calls = PrivateCallsOf(architecture);
  bool among_private = false;
  for (size_t at = 0; at < uses.size();) {
    const uint32_t number = uses[at].number;
    if (number >= private_calls && !among_private) {
      among_private = true;
      Append(ranges, at == 0 ? 0 : uses[at - 1].number + 1, newer);
      Append(ranges, private_calls, other);
    }
    Outcome outcome = {{}, default_};
    for (bool settled = false; at < uses.size() && uses[at].number == number; ++at) {
      const Rule& rule = *uses[at].rule;
      if (!rule.conditions.empty()) {
        outcome.conditional.push_back(&rule);
      } else if (!settled) {
        outcome.otherwise = rule.verdict;
        settled = true;
      }
    }
    Append(ranges, number, Intern(std::move(outcome)));
    Append(ranges, number + 1, other);
  }
  if (!uses.empty()) Append(ranges, uses.back().number + 1, newer);
  return ranges;
}

}  // namespace caisson::seccomp
