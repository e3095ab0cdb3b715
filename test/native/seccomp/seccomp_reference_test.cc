// zone: test
// needs: libseccomp2
// Our filters against libseccomp's for the same profile, call by call, both interpreted.
#include <algorithm>
#include <map>
#include <random>

#include "launch/check.h"
#include "plan/seccomp/default_profile.h"
#include "seccomp/calls.h"
#include "seccomp/interpreter.h"
#include "seccomp/libseccomp.h"

namespace caisson::test {
namespace {

const Libseccomp& Reference() {
  static const Libseccomp libseccomp;
  return libseccomp;
}

bool Applies(const Rule& rule, const Target& target) {
  return (rule.needs_capabilities & ~target.capabilities) == 0 &&
         (rule.excludes_capabilities & target.capabilities) == 0 &&
         (rule.needs_machine == 0 || (rule.needs_machine & Bit(target.machine)) != 0) &&
         rule.needs_kernel <= target.kernel;
}

// Where calls begin that do not grow with those of other architectures.
uint32_t PrivateCallsOf(Architecture architecture) {
  if (architecture == Architecture::kX32) return 512;
  return architecture == Architecture::kArm ? 0xf0000 : INT32_MAX;
}

// What runc makes of a profile: libseccomp's filter, and before it a check for calls that are newer
// than the newest that the profile is about. runc takes x32's and arm's private calls for such.
class Runc {
 public:
  Runc(const Profile& profile, const Target& target, std::span<const Architecture> architectures) {
    std::vector<const Rule*> rules;
    for (const Rule& rule : profile.rules) {
      if (Applies(rule, target)) rules.push_back(&rule);
    }
    filter_ = Reference().Compile(profile.default_verdict, rules, architectures);
    if (profile.default_verdict == kAllow || profile.default_verdict == SECCOMP_RET_LOG) return;
    for (const Architecture architecture : architectures) {
      const std::pair<int, int> newest = NewestOf(rules, architecture);
      if (std::max(newest.first, newest.second) >= 0) newest_[architecture] = newest;
    }
  }

  uint32_t Ask(Architecture architecture, uint32_t number, const seccomp_data& data) const {
    const auto newest = newest_.find(architecture);
    if (newest == newest_.end()) return Interpret(filter_, data);
    const auto& [ordinary, own] = newest->second;
    const bool is_own = number >= PrivateCallsOf(architecture);
    const bool is_newer = static_cast<int>(number) > (is_own ? own : ordinary);
    return is_newer ? Refuse(ENOSYS) : Interpret(filter_, data);
  }

  size_t size() const { return filter_.size(); }
  double AverageSteps(Architecture architecture) const { return Average(filter_, architecture); }

  static double Average(std::span<const sock_filter> filter, Architecture architecture) {
    uint64_t steps = 0;
    uint64_t calls = 0;
    for (const Syscall& call : Syscalls()) {
      const int number = NumberOf(call, architecture);
      if (number < 0) continue;
      ++calls;
      (void)Interpret(filter, CallOf(architecture, static_cast<uint32_t>(number)), &steps);
    }
    return static_cast<double>(steps) / static_cast<double>(calls);
  }

 private:
  static std::pair<int, int> NewestOf(std::span<const Rule* const> rules,
                                      Architecture architecture) {
    std::pair<int, int> newest = {-1, -1};
    for (const Rule* rule : rules) {
      std::string names(rule->names);
      for (char* rest = names.data(); char* name = strtok_r(rest, " ", &rest);) {
        const Syscall* call = FindSyscall(name);
        const int number = call == nullptr ? -1 : NumberOf(*call, architecture);
        if (number < 0) continue;
        const bool is_own = static_cast<uint32_t>(number) >= PrivateCallsOf(architecture);
        int& side = is_own ? newest.second : newest.first;
        side = std::max(side, number);
      }
    }
    return newest;
  }

  std::vector<sock_filter> filter_;
  std::map<Architecture, std::pair<int, int>> newest_;  // the ordinary ones, its own ones
};

// Calls that our table knows and this libseccomp does not: it has no say in them.
bool IsUnknown(Architecture architecture, uint32_t number) {
  static std::map<std::pair<Architecture, uint32_t>, bool> answers;
  const auto [answer, is_new] = answers.try_emplace({architecture, number}, false);
  if (!is_new) return answer->second;
  for (const Syscall& call : Syscalls()) {
    if (NumberOf(call, architecture) != static_cast<int>(number)) continue;
    if (!Reference().Knows(call.name, architecture)) answer->second = true;
  }
  return answer->second;
}

// The default profile looks at the 32 bits of a socket's family that the kernel looks at.
bool IsMeant(Architecture architecture, uint32_t number, const seccomp_data& data,
             uint32_t actual) {
  const bool wide = architecture == Architecture::kX86_64 || architecture == Architecture::kAarch64;
  const bool is_socket = static_cast<int>(number) == NumberOf(*FindSyscall("socket"), architecture);
  if (wide && is_socket && data.args[0] >> 32 != 0) {
    const auto family = static_cast<uint32_t>(data.args[0]);
    return actual == (family == 38 || family == 40 ? Refuse(EPERM) : kAllow);
  }
  return false;
}

uint64_t Compare(const Profile& profile, const Target& target,
                 std::span<const Architecture> architectures, uint64_t seed, size_t stride = 1) {
  std::mt19937_64 random(seed);
  const auto& values = InterestingValues();
  const auto filter = Compile(profile, target);
  CHECK(filter.has_value());
  const Runc runc(profile, target, architectures);
  std::vector<uint32_t> numbers = {2000, 0xf0001, 0xf0002, 0xf0003, 0xf0004, 0xf0005, 0xf0006};
  for (uint32_t number = 0; number <= 1100; ++number) numbers.push_back(number);

  uint64_t compared = 0;
  for (const Architecture architecture : architectures) {
    for (const uint32_t number : numbers) {
      if (IsUnknown(architecture, number)) continue;
      for (size_t i = random() % stride; i < values.size(); i += stride) {
        seccomp_data data = CallOf(architecture, number);
        for (auto& argument : data.args) argument = values[random() % values.size()];
        data.args[0] = values[i];
        const uint32_t actual = Interpret(*filter, data);
        const uint32_t wanted = runc.Ask(architecture, number, data);
        ++compared;
        if (actual == wanted || IsMeant(architecture, number, data, actual)) continue;
        char text[160];
        snprintf(text, sizeof text, "%s %u (%#llx, %#llx): %#x, libseccomp %#x (seed %llu)",
                 kArchitectureNames[static_cast<int>(architecture)], number, data.args[0],
                 data.args[1], actual, wanted, static_cast<unsigned long long>(seed));
        Fail(__FILE__, __LINE__, text);
      }
    }
  }
  return compared;
}

// ---- tests
// ------------------------------------------------------------------------------------------

void DefaultProfileHasTheSameVerdicts() {
  std::vector<uint64_t> granted = {kDockerCapabilities, 0, ~uint64_t{0}};
  for (int capability = 0; capability <= 40; ++capability) {
    granted.push_back(uint64_t{1} << capability);
    granted.push_back(kDockerCapabilities ^ uint64_t{1} << capability);
  }
  uint64_t compared = 0;
  for (size_t i = 0; i < granted.size(); ++i) {
    const uint64_t capabilities = granted[i];
    const size_t stride = i < 3 ? 1 : 8;
    const Target x86 = {Architecture::kX86_64, capabilities, {6, 1}};
    const Target arm = {Architecture::kAarch64, capabilities, {6, 1}};
    compared += Compare(DefaultProfile(), x86, kX86Family, capabilities, stride);
    compared += Compare(DefaultProfile(), arm, kArmFamily, capabilities, stride);
    compared += Compare(StrictProfile(), x86, {kX86Family, 1}, capabilities, stride);
  }
  compared += Compare(DefaultProfile(), {Architecture::kX86_64, 0, {4, 7}}, kX86Family, 1);

  const Target target = {Architecture::kX86_64, kDockerCapabilities, {6, 1}};
  const Runc runc(DefaultProfile(), target, kX86Family);
  const auto filter = Compile(DefaultProfile(), target);
  printf(
      "   %llu verdicts compared; %zu instructions, libseccomp %zu; steps a call %.1f and %.1f\n",
      static_cast<unsigned long long>(compared), filter->size(), runc.size(),
      Runc::Average(*filter, Architecture::kX86_64), runc.AverageSteps(Architecture::kX86_64));
}

// One rule for each call: of several with conditions on several arguments libseccomp forgets some
// (arg0 <= 2 and arg1 != 3, beside arg0 <= 1 and arg1 > 4). And none of the calls for which it adds
// rules of its own on i386.
void AnyProfileHasTheSameVerdicts() {
  std::vector<std::string_view> names;
  for (const Syscall& call : Syscalls()) {
    if (!Reference().IsMultiplexed(call.name) &&
        Reference().Knows(call.name, Architecture::kX86_64)) {
      names.push_back(call.name);
    }
  }
  const auto& values = InterestingValues();
  const uint32_t verdicts[] = {kAllow,          Refuse(EPERM),    Refuse(EACCES),
                               SECCOMP_RET_LOG, SECCOMP_RET_TRAP, SECCOMP_RET_KILL_PROCESS};
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&random](uint64_t limit) { return random() % limit; };
    const size_t count = 20 + below(60);
    std::ranges::shuffle(names, random);
    std::vector<std::vector<Condition>> conditions(count);
    std::vector<Rule> rules;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t amount = below(4);
      for (uint64_t n = 0; n < amount; ++n) {
        const auto op = static_cast<Operator>(below(7));
        const uint64_t mask = values[below(values.size())];
        conditions[i].push_back({.argument = static_cast<uint8_t>(n),
                                 .op = op,
                                 .value = mask,
                                 .value_two = mask & values[below(values.size())]});
      }
      rules.push_back(
          {.names = names[i], .verdict = verdicts[below(6)], .conditions = conditions[i]});
    }
    const Profile profile = {
        .default_verdict = verdicts[seed % 6], .architectures = 0xff, .rules = rules};
    (void)Compare(profile, {Architecture::kX86_64, 0, {6, 1}}, kX86Family, seed);
  }
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  if (!Reference().found()) {
    printf("needs libseccomp2\n");
    return 77;
  }
  RUN(DefaultProfileHasTheSameVerdicts);
  RUN(AnyProfileHasTheSameVerdicts);
}
