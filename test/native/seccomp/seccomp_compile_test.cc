// zone: test
// The compiler of seccomp profiles, against what profile.h says, rule by rule.
#include <string.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <map>
#include <random>
#include <span>

#include "launch/check.h"
#include "plan/seccomp/default_profile.h"
#include "seccomp/calls.h"
#include "seccomp/interpreter.h"
#include "supervisor/sha256.h"

namespace caisson::test {
namespace {

using Filter = std::vector<sock_filter>;

constexpr Target kDocker = {Architecture::kX86_64, kDockerCapabilities, {6, 1}};

Filter Compiled(const Profile& profile, const Target& target = kDocker) {
  auto filter = Compile(profile, target);
  CHECK(filter.has_value());
  return *filter;
}

int NumberOf(std::string_view name, Architecture architecture = Architecture::kX86_64) {
  const Syscall* call = FindSyscall(name);
  CHECK(call != nullptr);
  return seccomp::NumberOf(*call, architecture);
}

uint32_t Ask(const Filter& filter, std::string_view name,
             std::initializer_list<uint64_t> arguments = {},
             Architecture architecture = Architecture::kX86_64) {
  const int number = NumberOf(name, architecture);
  CHECK(number >= 0);
  return Interpret(filter, CallOf(architecture, static_cast<uint32_t>(number), arguments));
}

// ---- the same by the definition in profile.h, as slowly as it likes ----------------------------

bool IsMet(const Condition& condition, const seccomp_data& data, bool narrow) {
  const bool low = narrow || condition.low_half;
  const auto cut = [low](uint64_t value) { return low ? value & 0xffffffff : value; };
  const uint64_t argument = cut(data.args[condition.argument]);
  const uint64_t value = cut(condition.value);
  switch (condition.op) {
    case Operator::kNotEqual:
      return argument != value;
    case Operator::kLess:
      return argument < value;
    case Operator::kLessOrEqual:
      return argument <= value;
    case Operator::kEqual:
      return argument == value;
    case Operator::kGreaterOrEqual:
      return argument >= value;
    case Operator::kGreater:
      return argument > value;
    case Operator::kMaskedEqual:
      return (argument & value) == cut(condition.value_two);
  }
  return false;
}

bool IsMet(const Rule& rule, const seccomp_data& data, bool narrow) {
  bool twice = false;
  bool all = true;
  bool any = false;
  for (const Condition& one : rule.conditions) {
    for (const Condition& other : rule.conditions) {
      twice = twice || (&one != &other && one.argument == other.argument);
    }
    const bool met = IsMet(one, data, narrow);
    all = all && met;
    any = any || met;
  }
  return twice ? any : all;
}

bool Applies(const Rule& rule, const Target& target) {
  for (int bit = 0; bit < 64; ++bit) {
    const bool granted = (target.capabilities >> bit & 1) != 0;
    if ((rule.needs_capabilities >> bit & 1) != 0 && !granted) return false;
    if ((rule.excludes_capabilities >> bit & 1) != 0 && granted) return false;
  }
  const auto has = [&target](ArchitectureSet set) {
    return (set >> static_cast<int>(target.machine) & 1) != 0;
  };
  if (rule.needs_machine != 0 && !has(rule.needs_machine)) return false;
  if (has(rule.excludes_machine)) return false;
  const auto reached = [&target](KernelVersion version) {
    return target.kernel.major * 1000 + target.kernel.minor >= version.major * 1000 + version.minor;
  };
  if (!reached(rule.needs_kernel)) return false;
  return rule.excludes_kernel.major == 0 || !reached(rule.excludes_kernel);
}

// One architecture of a profile.
class Definition {
 public:
  Definition(const Profile& profile, const Target& target, Architecture architecture)
      : profile_(profile),
        narrow_(architecture != Architecture::kX86_64 && architecture != Architecture::kAarch64),
        private_(architecture == Architecture::kX32   ? 512
                 : architecture == Architecture::kArm ? 0xf0000
                                                      : INT32_MAX) {
    for (const Rule& rule : profile.rules) {
      if (!Applies(rule, target)) continue;
      std::string names(rule.names);
      for (char* rest = names.data(); char* name = strtok_r(rest, " ", &rest);) {
        const Syscall* call = FindSyscall(name);
        const int number = call == nullptr ? -1 : seccomp::NumberOf(*call, architecture);
        if (number < 0) continue;
        rules_[static_cast<uint32_t>(number)].push_back(&rule);
        int& last = number < private_ ? last_ : last_private_;
        last = std::max(last, number);
      }
    }
    if ((last_ < 0 && last_private_ < 0) ||
        (profile.default_verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW ||
        (profile.default_verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_LOG) {
      last_ = last_private_ = INT32_MAX;
    }
  }

  uint32_t Ask(uint32_t number, const seccomp_data& data) const {
    const int signed_number = static_cast<int>(number);
    if (signed_number > (signed_number < private_ ? last_ : last_private_)) return Refuse(ENOSYS);
    const auto found = rules_.find(number);
    if (found == rules_.end()) return profile_.default_verdict;
    for (const Rule* rule : found->second) {
      if (!rule->conditions.empty() && IsMet(*rule, data, narrow_)) return rule->verdict;
    }
    for (const Rule* rule : found->second) {
      if (rule->conditions.empty()) return rule->verdict;
    }
    return profile_.default_verdict;
  }

 private:
  const Profile& profile_;
  bool narrow_;
  int private_;
  int last_ = -1;
  int last_private_ = -1;
  std::map<uint32_t, std::vector<const Rule*>> rules_;
};

// Every call of every architecture that the filter lets be used.
void CompareWithDefinition(const Profile& profile, const Target& target,
                           std::span<const Architecture> architectures, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto& values = InterestingValues();
  const Filter filter = Compiled(profile, target);
  for (const Architecture architecture : architectures) {
    if (architecture != target.machine && (profile.architectures & Bit(architecture)) == 0)
      continue;
    const Definition definition(profile, target, architecture);
    for (uint32_t number = 0; number <= 600; ++number) {
      for (size_t round = 0; round < values.size(); ++round) {
        seccomp_data data = CallOf(architecture, number);
        for (auto& argument : data.args) argument = values[random() % values.size()];
        data.args[0] = values[round];
        const uint32_t wanted = definition.Ask(number, data);
        const uint32_t actual = Interpret(filter, data);
        if (actual == wanted) continue;
        char text[160];
        snprintf(text, sizeof text, "%s %u (%#llx, %#llx): %#x, not %#x (seed %llu)",
                 kArchitectureNames[static_cast<int>(architecture)], number, data.args[0],
                 data.args[1], actual, wanted, static_cast<unsigned long long>(seed));
        Fail(__FILE__, __LINE__, text);
      }
    }
  }
}

// ---- tests
// ------------------------------------------------------------------------------------------

void DefaultProfileIsSmall() {
  for (const auto& [name, capabilities] : {std::pair{"Docker's capabilities", kDockerCapabilities},
                                           {"none", uint64_t{0}},
                                           {"all", ~uint64_t{0}}}) {
    const Target target = {Architecture::kX86_64, capabilities, {6, 1}};
    timespec begin;
    timespec end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    constexpr int kRounds = 20;
    for (int i = 0; i < kRounds; ++i) (void)Compiled(DefaultProfile(), target);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double us = (static_cast<double>(end.tv_sec - begin.tv_sec) * 1e9 +
                       static_cast<double>(end.tv_nsec - begin.tv_nsec)) /
                      1e3 / kRounds;
    const Filter filter = Compiled(DefaultProfile(), target);
    std::string average;
    for (const Architecture architecture : kX86Family) {
      uint64_t steps = 0;
      uint64_t calls = 0;
      for (const Syscall& call : Syscalls()) {
        const int number = seccomp::NumberOf(call, architecture);
        if (number < 0) continue;
        ++calls;
        (void)Interpret(filter, CallOf(architecture, static_cast<uint32_t>(number)), &steps);
      }
      char text[64];
      snprintf(text, sizeof text, ", %s %.1f", kArchitectureNames[static_cast<int>(architecture)],
               static_cast<double>(steps) / static_cast<double>(calls));
      average += text;
    }
    printf("   %s: %zu instructions, compiled in %.0f us; steps a call%s\n", name, filter.size(),
           us, average.c_str());
    CHECK(filter.size() <= 720);
  }
  printf("   strict: %zu instructions\n", Compiled(StrictProfile()).size());
}

// With and without each capability that the profile asks about: all of them together.
void DefaultProfileIsSmallForAnyCapabilities() {
  uint64_t asked = 0;
  for (const Rule& rule : DefaultProfile().rules) {
    asked |= rule.needs_capabilities | rule.excludes_capabilities;
  }
  size_t most = 0;
  size_t sets = 0;
#if defined(__SANITIZE_ADDRESS__)
  constexpr size_t kStride = 61;
#else
  constexpr size_t kStride = 1;
#endif
  uint64_t set = 0;
  do {
    if (sets++ % kStride == 0) {
      const Target target = {Architecture::kX86_64, set, {6, 1}};
      most = std::max({most, Compiled(DefaultProfile(), target).size(),
                       Compiled(StrictProfile(), target).size()});
    }
    set = (set - asked) & asked;  // the next one that is part of it
  } while (set != 0);
  CHECK_EQ(sets, size_t{1} << std::popcount(asked));
  printf("   %zu instructions at the most, with %zu sets of capabilities\n", most, sets);
  CHECK(most <= 720);
}

void DefaultProfileIsAsDefined() {
  for (const uint64_t capabilities : {kDockerCapabilities, uint64_t{0}, ~uint64_t{0}}) {
    for (const KernelVersion kernel : {KernelVersion{4, 7}, {4, 8}, {6, 18}}) {
      for (const Profile* profile : {&DefaultProfile(), &StrictProfile()}) {
        CompareWithDefinition(*profile, {Architecture::kX86_64, capabilities, kernel}, kX86Family,
                              1);
        CompareWithDefinition(*profile, {Architecture::kAarch64, capabilities, kernel}, kArmFamily,
                              1);
      }
    }
  }
}

constexpr uint32_t kForbidden = Refuse(EPERM);
constexpr uint32_t kAbsent = Refuse(ENOSYS);

void DefaultProfileSaysWhatItShould() {
  const Filter filter = Compiled(DefaultProfile());
  for (const char* name : {"read", "openat", "execve", "capset", "prctl", "setresuid", "ptrace",
                           "chroot", "statx", "futex_waitv", "removexattrat"}) {
    CHECK_EQ(Ask(filter, name), kAllow);
  }
  for (const char* name :
       {"mount", "unshare", "setns", "bpf", "keyctl", "add_key", "io_uring_setup", "userfaultfd",
        "perf_event_open", "fsopen", "init_module", "kexec_load", "open_by_handle_at", "reboot",
        "swapon", "process_madvise", "move_pages", "mbind", "syslog"}) {
    CHECK_EQ(Ask(filter, name), kForbidden);
  }
  CHECK_EQ(Ask(filter, "clone3"), kAbsent);
  CHECK_EQ(Ask(filter, "clone", {0x11}), kAllow);
  CHECK_EQ(Ask(filter, "clone", {0x10000000}), kForbidden);  // CLONE_NEWUSER
  CHECK_EQ(Ask(filter, "personality", {0x8}), kAllow);
  CHECK_EQ(Ask(filter, "personality", {0x40000}), kForbidden);  // ADDR_NO_RANDOMIZE

  const Filter administrator =
      Compiled(DefaultProfile(), {Architecture::kX86_64, uint64_t{1} << 21, {6, 1}});
  CHECK_EQ(Ask(administrator, "mount"), kAllow);
  CHECK_EQ(Ask(administrator, "clone3"), kAllow);
  CHECK_EQ(Ask(administrator, "clone", {0x10000000}), kAllow);
  CHECK_EQ(Ask(administrator, "chroot"), kForbidden);

  const Filter old =
      Compiled(DefaultProfile(), {Architecture::kX86_64, kDockerCapabilities, {4, 7}});
  CHECK_EQ(Ask(old, "ptrace"), kForbidden);
}

// What the profile in Docker's JSON (moby/profiles, seccomp/v0.2.3) gives with libseccomp 2.6.1
// behind runc's check for newer calls was compared call by call with what we have, for every
// capability alone and beside Docker's. It is not part of the tests; this is the sum of the
// verdicts it confirmed. Another sum is another policy: compare again.
void DefaultProfileIsDockers() {
  Sha256 sum(Sha256::Way::kPortable);
  const auto add = [&sum](Architecture machine, std::span<const Architecture> architectures,
                          uint64_t capabilities) {
    const Filter filter = Compiled(DefaultProfile(), {machine, capabilities, {6, 1}});
    for (const Architecture architecture : architectures) {
      for (uint32_t number = 0; number <= 1100; ++number) {
        for (const uint64_t value : InterestingValues()) {
          const uint32_t verdict = Interpret(filter, CallOf(architecture, number, {value}));
          sum.Update(&verdict, sizeof verdict);
        }
      }
    }
  };
  for (const uint64_t capabilities : {kDockerCapabilities, uint64_t{0}, ~uint64_t{0}}) {
    add(Architecture::kX86_64, kX86Family, capabilities);
    add(Architecture::kAarch64, kArmFamily, capabilities);
  }
  std::string text;
  for (const uint8_t byte : sum.Finish()) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  CHECK_EQ(text, std::string("c9e2efef3f884935b08d219d614738b81666ed9ab7fb3b26cae21c31f6999a82"));
}

// The kernel looks at 32 bits of a family, whatever the register holds.
void FamiliesAreForbidden() {
  const Filter filter = Compiled(DefaultProfile());
  for (const Architecture architecture : kX86Family) {
    for (const uint64_t high : {uint64_t{0}, uint64_t{1} << 32, ~uint64_t{0} << 32}) {
      CHECK_EQ(Ask(filter, "socket", {high | 37}, architecture), kAllow);
      CHECK_EQ(Ask(filter, "socket", {high | 38}, architecture), kForbidden);
      CHECK_EQ(Ask(filter, "socket", {high | 39}, architecture), kAllow);
      CHECK_EQ(Ask(filter, "socket", {high | 40}, architecture), kForbidden);
      CHECK_EQ(Ask(filter, "socket", {high | 41}, architecture), kAllow);
    }
  }
  CHECK_EQ(Ask(filter, "socketcall", {1}, Architecture::kI386), kAllow);
}

void StrictHasTheMachinesOwnCallsOnly() {
  const Filter filter = Compiled(StrictProfile());
  const uint32_t killed = SECCOMP_RET_KILL_PROCESS;
  CHECK_EQ(Ask(filter, "read"), kAllow);
  CHECK_EQ(Ask(filter, "socket", {38}), kForbidden);
  CHECK_EQ(Ask(filter, "read", {}, Architecture::kX32), killed);
  CHECK_EQ(Ask(filter, "read", {}, Architecture::kI386), killed);
  CHECK_EQ(Ask(filter, "socketcall", {1}, Architecture::kI386), killed);
  // A tracer that has a call left out is not a program that makes one.
  CHECK_EQ(Interpret(filter, CallOf(Architecture::kX86_64, UINT32_MAX)), kForbidden);
}

void NewerCallsAreAbsent() {
  const Filter filter = Compiled(DefaultProfile());
  for (const Architecture architecture : kX86Family) {
    for (const Syscall& call : Syscalls()) {
      const int number = seccomp::NumberOf(call, architecture);
      if (number < 0 || call.since <= KernelVersion{6, 14}) continue;
      if (call.name == "uprobe") continue;  // in a hole that was below the newest when it came
      CHECK_EQ(Interpret(filter, CallOf(architecture, static_cast<uint32_t>(number))), kAbsent);
    }
    CHECK_EQ(Interpret(filter, CallOf(architecture, 5000)), kAbsent);
  }
  CHECK_EQ(Interpret(filter, CallOf(Architecture::kAarch64, 0)), SECCOMP_RET_KILL_PROCESS);
}

struct Generated {
  std::vector<std::string> names;
  std::vector<std::vector<Condition>> conditions;
  std::vector<Rule> rules;
  Profile profile;
};

void Generate(uint64_t seed, Generated* out) {
  std::mt19937_64 random(seed);
  const auto below = [&random](uint64_t limit) { return random() % limit; };
  const auto& values = InterestingValues();
  const uint32_t verdicts[] = {kAllow,          Refuse(EPERM),    Refuse(EACCES),
                               SECCOMP_RET_LOG, SECCOMP_RET_TRAP, SECCOMP_RET_KILL_PROCESS};
  const size_t count = 1 + below(60);
  for (size_t i = 0; i < count; ++i) {
    std::string names;
    const bool many = below(4) == 0;
    for (uint64_t n = 1 + below(many ? 100 : 4); n > 0; --n) {
      if (!names.empty()) names += ' ';
      names += Syscalls()[below(Syscalls().size())].name;
    }
    out->names.push_back(names);
    auto& conditions = out->conditions.emplace_back();
    for (uint64_t n = many ? 0 : below(4); n > 0; --n) {
      conditions.push_back({.argument = static_cast<uint8_t>(below(2)),
                            .op = static_cast<Operator>(below(7)),
                            .low_half = below(4) == 0,
                            .value = values[below(values.size())],
                            .value_two = below(2) == 0 ? 0 : values[below(values.size())]});
    }
  }
  for (size_t i = 0; i < count; ++i) {
    Rule rule = {
        .names = out->names[i], .verdict = verdicts[below(6)], .conditions = out->conditions[i]};
    if (below(8) == 0) rule.needs_capabilities = uint64_t{1} << below(41);
    if (below(8) == 0) rule.excludes_capabilities = uint64_t{1} << below(41);
    if (below(8) == 0) rule.needs_machine = static_cast<ArchitectureSet>(below(32));
    if (below(8) == 0) rule.excludes_machine = static_cast<ArchitectureSet>(below(32));
    if (below(8) == 0) rule.needs_kernel = {static_cast<uint16_t>(3 + below(4)), 9};
    if (below(8) == 0) rule.excludes_kernel = {static_cast<uint16_t>(3 + below(4)), 9};
    out->rules.push_back(rule);
  }
  out->profile = {.default_verdict = verdicts[below(6)],
                  .architectures = static_cast<ArchitectureSet>(below(32)),
                  .rules = out->rules};
}

void AnyProfileIsAsDefined() {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Generated generated;
    Generate(seed, &generated);
    if (seed % 3 == 0) {
      CompareWithDefinition(generated.profile,
                            {Architecture::kAarch64, kDockerCapabilities, {6, 1}}, kArmFamily,
                            seed);
    } else {
      CompareWithDefinition(generated.profile, kDocker, kX86Family, seed);
    }
  }
}

void TheSameProfileGivesTheSameFilter() {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Generated one;
    Generated two;
    Generate(seed, &one);
    Generate(seed, &two);
    const Filter first = Compiled(one.profile);
    const Filter second = Compiled(two.profile);
    CHECK_EQ(first.size(), second.size());
    CHECK(memcmp(first.data(), second.data(), first.size() * sizeof(sock_filter)) == 0);
  }
}

// Every call with a condition of its own: thousands of instructions, so that jumps are long.
void LongJumpsArrive() {
  Generated generated;
  generated.conditions.reserve(1000);
  for (const Syscall& call : Syscalls()) {
    if (generated.rules.size() == 200) break;
    if (seccomp::NumberOf(call, Architecture::kX86_64) < 0) continue;
    auto& conditions = generated.conditions.emplace_back();
    conditions = {{.argument = 0, .value = generated.rules.size() % 40},
                  {.argument = 1, .op = Operator::kGreater, .value = generated.rules.size()}};
    generated.rules.push_back({.names = call.name, .conditions = conditions});
  }
  generated.profile = {.architectures = Bit(Architecture::kX32), .rules = generated.rules};
  const Filter filter = Compiled(generated.profile);
  CHECK(filter.size() > 2000);
  CompareWithDefinition(generated.profile, kDocker, kX86Family, 1);
}

void TooMuchIsRefused() {
  const auto refused = [](const Profile& profile, int error, uint32_t index) {
    const auto filter = Compile(profile, kDocker);
    CHECK(!filter.has_value());
    CHECK_EQ(filter.error().error, error);
    CHECK_EQ(filter.error().index, index);
    CHECK(filter.error().step == Step::kSeccomp);
  };
  // Too many questions about one call.
  std::vector<Condition> conditions(1100);
  std::vector<Rule> rules;
  for (uint64_t i = 0; i < 1100; ++i) {
    conditions[i] = {.argument = 0, .value = i << 20};
    rules.push_back({.names = "read write", .conditions = {&conditions[i], 1}});
  }
  refused({.rules = rules}, E2BIG, 0);
  const Rule crowded[] = {{.names = "read"}, {.names = "write", .conditions = conditions}};
  refused({.rules = crowded}, E2BIG, 1);
  const Condition seventh[] = {{.argument = 6}};
  const Rule beyond[] = {{.names = "read", .conditions = seventh}};
  refused({.rules = beyond}, EINVAL, 0);

  std::string many = "read";
  for (int i = 0; i < 20'000; ++i) many += " read";
  const Rule repeated[] = {{.names = many}};
  refused({.rules = repeated}, E2BIG, 0);

  // What nobody knows cannot be forbidden; that it is not allowed needs no knowledge.
  const Rule misspelled[] = {{.names = "read"}, {.names = "wirte", .verdict = Refuse(EPERM)}};
  refused({.default_verdict = kAllow, .rules = misspelled}, EINVAL, 1);
  CHECK(Compile({.rules = misspelled}, kDocker).has_value());
  const Rule foreign[] = {{.names = "s390_runtime_instr", .verdict = Refuse(EPERM)}};
  CHECK(Compile({.default_verdict = kAllow, .rules = foreign}, kDocker).has_value());
}

void EmptyProfilesAreTheirDefault() {
  for (const uint32_t verdict : {kAllow, kForbidden, Verdict{SECCOMP_RET_KILL_PROCESS}}) {
    const Filter filter = Compiled({.default_verdict = verdict});
    CHECK_EQ(Ask(filter, "read"), verdict);
    CHECK_EQ(Interpret(filter, CallOf(Architecture::kX86_64, 5000)), verdict);
  }
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  RUN(DefaultProfileIsSmall);
  RUN(DefaultProfileIsSmallForAnyCapabilities);
  RUN(DefaultProfileSaysWhatItShould);
  RUN(DefaultProfileIsAsDefined);
  RUN(DefaultProfileIsDockers);
  RUN(FamiliesAreForbidden);
  RUN(StrictHasTheMachinesOwnCallsOnly);
  RUN(NewerCallsAreAbsent);
  RUN(AnyProfileIsAsDefined);
  RUN(TheSameProfileGivesTheSameFilter);
  RUN(LongJumpsArrive);
  RUN(TooMuchIsRefused);
  RUN(EmptyProfilesAreTheirDefault);
}
