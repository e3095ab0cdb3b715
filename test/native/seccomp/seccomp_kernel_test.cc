// zone: test
// needs: x86_64 with 32-bit programs (CONFIG_IA32_EMULATION) for the calls by int 0x80
// The filter in the kernel: every number is called, as a 64-bit, an x32 and a 32-bit call, and gets
// what the interpreter says.
#include <linux/audit.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fields.h"
#include "launch/check.h"
#include "plan/parse.h"
#include "plan/seccomp/default_profile.h"
#include "seccomp/calls.h"
#include "seccomp/interpreter.h"

#if defined(__x86_64__)

namespace caisson::test {
namespace {

using Filter = std::vector<sock_filter>;

constexpr uint32_t kNumbers = 1101;
// Instead of ALLOW, so that nothing that is called happens.
constexpr int kAllowedError = 4000;

int64_t Native(uint64_t number, const uint64_t arguments[6]) {
  int64_t result = 0;
  register uint64_t r10 asm("r10") = arguments[3];
  register uint64_t r8 asm("r8") = arguments[4];
  register uint64_t r9 asm("r9") = arguments[5];
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]), "r"(r10),
                 "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

// ebp, the sixth argument, is left as it is.
int64_t By0x80(uint64_t number, const uint64_t arguments[6]) {
  int64_t result = 0;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(arguments[0]), "c"(arguments[1]), "d"(arguments[2]),
                 "S"(arguments[3]), "D"(arguments[4])
               : "r8", "r9", "r10", "r11", "memory");
  return static_cast<int32_t>(result);
}

int64_t Call(Architecture architecture, uint32_t number, const uint64_t arguments[6]) {
  if (architecture == Architecture::kI386) return By0x80(number, arguments);
  const uint32_t bit = architecture == Architecture::kX32 ? 0x40000000 : 0;
  return Native(number | bit, arguments);
}

bool Load(const Filter& filter) {
  const sock_fprog program = {static_cast<unsigned short>(filter.size()),
                              const_cast<sock_filter*>(filter.data())};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

// Runs `body` in a child, which ends by a trap: it may be unable to call anything. Its wait status.
template <typename Body>
int InChild(Body body) {
  fflush(stdout);
  const pid_t pid = fork();
  CHECK_OK(pid);
  if (pid == 0) {
    body();
    asm volatile("" ::: "memory");  // or what it wrote last is taken for of no use
    __builtin_trap();
  }
  int status = 0;
  CHECK(waitpid(pid, &status, 0) == pid);
  return status;
}

bool EndedBy(int status, int signal) {
  return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

Filter Compiled(const Profile& profile, uint64_t capabilities) {
  const auto filter = Compile(profile, {kThisMachine, capabilities, {6, 1}});
  CHECK(filter.has_value());
  return *filter;
}

// The answers of the calls of one architecture, numbers times values.
struct Answers {
  int64_t of[kNumbers][64];
};

Answers* Share() {
  void* memory =
      mmap(nullptr, sizeof(Answers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return static_cast<Answers*>(memory);
}

// uretprobe and uprobe come from a trampoline of the kernel's: it lets them pass every filter, and
// kills whoever else calls them (linux 6.14, 6.18).
bool PassesEveryFilter(Architecture architecture, uint32_t number) {
  return architecture == Architecture::kX86_64 && (number == 335 || number == 336);
}

void Arguments(uint64_t value, uint64_t arguments[6]) {
  for (int i = 0; i < 6; ++i) arguments[i] = i == 0 ? value : 0;
}

void CompareWithKernel(Architecture architecture, const Filter& filter, bool call_allowed) {
  const auto& values = InterestingValues();
  CHECK(values.size() <= 64);
  Answers* answers = Share();
  const int status = InChild([&] {
    if (!Load(filter)) return;
    for (uint32_t number = 0; number < kNumbers; ++number) {
      if (PassesEveryFilter(architecture, number)) continue;
      for (size_t i = 0; i < values.size(); ++i) {
        uint64_t arguments[6];
        Arguments(values[i], arguments);
        const seccomp_data data = CallOf(architecture, number, {values[i]});
        // What is allowed must not happen: the calls are whatever the numbers say.
        if (!call_allowed && Interpret(filter, data) == kAllow) continue;
        answers->of[number][i] = Call(architecture, number, arguments);
      }
    }
    answers->of[0][63] = 1;
  });
  CHECK(EndedBy(status, SIGILL));
  CHECK_EQ(answers->of[0][63], 1);

  for (uint32_t number = 0; number < kNumbers; ++number) {
    if (PassesEveryFilter(architecture, number)) continue;
    for (size_t i = 0; i < values.size(); ++i) {
      const bool narrow = architecture == Architecture::kI386;
      const uint64_t value = narrow ? values[i] & 0xffffffff : values[i];
      const uint32_t verdict = Interpret(filter, CallOf(architecture, number, {value}));
      if (!call_allowed && verdict == kAllow) continue;
      CHECK_EQ(verdict & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ERRNO);
      const auto error = static_cast<int64_t>(verdict & SECCOMP_RET_DATA);
      if (answers->of[number][i] == -error) continue;
      char text[128];
      snprintf(text, sizeof text, "%s %u (%#llx): %lld, not -%lld",
               kArchitectureNames[static_cast<int>(architecture)], number,
               static_cast<unsigned long long>(value),
               static_cast<long long>(answers->of[number][i]), static_cast<long long>(error));
      Fail(__FILE__, __LINE__, text);
    }
  }
  munmap(answers, sizeof(Answers));
}

bool Has0x80() {
  static const bool has = [] {
    const int status = InChild([] {
      const uint64_t none[6] = {};
      if (By0x80(20 /* getpid */, none) == getpid()) (void)kill(getpid(), SIGUSR1);
    });
    return EndedBy(status, SIGUSR1);
  }();
  return has;
}

void CompareAll(const Filter& filter) {
  Filter harmless = filter;
  for (sock_filter& instruction : harmless) {
    const bool allows = instruction.code == (BPF_RET | BPF_K) && instruction.k == kAllow;
    if (allows) instruction.k = Refuse(kAllowedError);
  }
  for (const Architecture architecture : kX86Family) {
    if (architecture == Architecture::kI386 && !Has0x80()) continue;
    CompareWithKernel(architecture, harmless, true);
    // And once as it is, so far as it forbids.
    CompareWithKernel(architecture, filter, false);
  }
}

void EveryCallGetsItsVerdict() {
  for (const uint64_t capabilities : {kDockerCapabilities, uint64_t{0}, ~uint64_t{0}}) {
    CompareAll(Compiled(DefaultProfile(), capabilities));
  }
}

// A profile as it comes from one of a user's in JSON, rule by rule: every call by its name, each
// with another answer, every operator among them.
Filter ParsedProfile(Verdict default_verdict) {
  using protocol::Tag;
  FieldWriter group;
  group.U64(Tag::kSeccompPolicy, static_cast<uint64_t>(protocol::SeccompPolicy::kProfile))
      .U64(Tag::kSeccompDefault, default_verdict)
      .U64(Tag::kSeccompArchitectures, Bit(Architecture::kX32) | Bit(Architecture::kI386));
  uint64_t position = 0;
  for (const Syscall& call : Syscalls()) {
    ++position;
    if (position % 5 == 0) continue;  // the default's
    const bool allows = position % 3 == 0 && default_verdict != kAllow;
    FieldWriter rule;
    rule.String(Tag::kSeccompNames, call.name)
        .U64(Tag::kSeccompVerdict, allows ? kAllow : Refuse(static_cast<int>(position % 4000 + 1)));
    if (position % 2 == 0) {
      FieldWriter condition;
      condition.U64(Tag::kSeccompArgument, 0)
          .U64(Tag::kSeccompOperator, position / 2 % 7)
          .U64(Tag::kSeccompValue, InterestingValues()[position % InterestingValues().size()]);
      rule.Group(Tag::kSeccompCondition, condition);
    }
    group.Group(Tag::kSeccompRule, rule);
  }
  FieldWriter body;
  body.String(Tag::kLayer, "layers/a").String(Tag::kArg, "true").Group(Tag::kSeccomp, group);
  Arena arena(ParseArenaBytes(body.bytes().size()) + 64 * 1024);
  const auto plan = ParseLaunch(body.bytes(), arena);
  CHECK(plan.has_value());
  const auto& filter = (*plan)->process.seccomp;
  return {filter.begin(), filter.end()};
}

void EveryCallGetsTheVerdictOfAProfile() {
  CompareAll(ParsedProfile(Refuse(EPERM)));
  CompareAll(ParsedProfile(kAllow));
}

// 32-bit calls, and x32's, are the end of the process.
void StrictKillsOtherArchitectures() {
  const Filter filter = Compiled(StrictProfile(), kDockerCapabilities);
  const uint64_t none[6] = {};
  const auto end = [&](Architecture architecture, uint32_t number) {
    return InChild([&] {
      if (Load(filter)) (void)Call(architecture, number, none);
    });
  };
  CHECK(EndedBy(end(Architecture::kX86_64, SYS_getpid), SIGILL));
  CHECK(EndedBy(end(Architecture::kX32, SYS_getpid), SIGSYS));
  if (!Has0x80()) return;
  CHECK(EndedBy(end(Architecture::kI386, 20 /* getpid */), SIGSYS));
  CHECK(EndedBy(end(Architecture::kI386, 102 /* socketcall */), SIGSYS));
}

// What the kernel needs to take the filter in, a part of every start of a container.
void LoadingIsQuick() {
  const Filter filter = Compiled(DefaultProfile(), kDockerCapabilities);
  auto* best = static_cast<int64_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(best != MAP_FAILED);
  *best = INT64_MAX;
  for (int i = 0; i < 20; ++i) {
    (void)InChild([&] {
      timespec begin;
      timespec end;
      clock_gettime(CLOCK_MONOTONIC, &begin);
      if (!Load(filter)) return;
      clock_gettime(CLOCK_MONOTONIC, &end);
      const int64_t ns = (end.tv_sec - begin.tv_sec) * 1'000'000'000 + end.tv_nsec - begin.tv_nsec;
      if (ns < *best) *best = ns;
    });
  }
  printf("   %zu instructions are loaded in %lld us\n", filter.size(),
         static_cast<long long>(*best / 1000));
  CHECK(*best < 100'000'000);
  munmap(best, 4096);
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  RUN(EveryCallGetsItsVerdict);
  RUN(EveryCallGetsTheVerdictOfAProfile);
  RUN(StrictKillsOtherArchitectures);
  RUN(LoadingIsQuick);
  if (!Has0x80()) {
    printf("needs 32-bit programs: CONFIG_IA32_EMULATION\n");
    return 77;
  }
}

#else

int main() {
  printf("needs x86_64\n");
  return 77;
}

#endif
