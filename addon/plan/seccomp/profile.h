// zone: native
#pragma once

#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>

#include <span>
#include <string_view>

// A seccomp policy as data, in the terms of Docker's profiles: what a profile in JSON says can be
// said here, and the other way round.
namespace caisson::seccomp {

// In the order of the columns of syscall_numbers.h.
enum class Architecture : uint8_t { kX86_64, kX32, kI386, kAarch64, kArm };
constexpr int kArchitectures = 5;

using ArchitectureSet = uint8_t;
constexpr ArchitectureSet Bit(Architecture architecture) noexcept {
  return static_cast<ArchitectureSet>(1u << static_cast<unsigned>(architecture));
}

struct KernelVersion {
  uint16_t major = 0;
  uint16_t minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

// What a filter answers: SECCOMP_RET_…, with an errno or a message to the tracer in the low half.
using Verdict = uint32_t;
constexpr Verdict kAllow = SECCOMP_RET_ALLOW;
constexpr Verdict Refuse(int error) noexcept {
  return SECCOMP_RET_ERRNO | static_cast<Verdict>(error);
}

enum class Operator : uint8_t {
  kNotEqual,
  kLess,
  kLessOrEqual,
  kEqual,
  kGreaterOrEqual,
  kGreater,
  kMaskedEqual,  // (argument & value) == value_two
};

// On a 32-bit architecture, x32 among them, the low halves alone are compared.
struct Condition {
  uint8_t argument = 0;  // 0 to 5
  Operator op = Operator::kEqual;
  // The call takes an int: the kernel ignores the high half of the register, and so do we. Without
  // it socket(2^32 + AF_ALG, …) is another number to the filter, and AF_ALG to the kernel.
  bool low_half = false;
  uint64_t value = 0;
  uint64_t value_two = 0;
};

// A rule holds when all of what it asks for is so and nothing of what it excludes; then it is about
// every call of `names`.
struct Rule {
  std::string_view names;  // separated by one space
  Verdict verdict = kAllow;
  // All of them; but where two are about the same argument, any of them, as runc reads it.
  std::span<const Condition> conditions = {};
  uint64_t needs_capabilities = 0;     // all of these bits are granted
  uint64_t excludes_capabilities = 0;  // none of these is
  // By the machine's own architecture, whichever branch is compiled. 0: any.
  ArchitectureSet needs_machine = 0;
  ArchitectureSet excludes_machine = 0;
  KernelVersion needs_kernel = {};     // this one or newer. 0.0: any
  KernelVersion excludes_kernel = {};  // this one or newer. 0.0: none
};

// Of the rules about one call the conditional ones are asked in order; the first that is met
// settles it, else the first unconditional one, else the default. (libseccomp, and so Docker,
// forgets conditional rules when there is an unconditional one; Docker's own has no such call.)
struct Profile {
  Verdict default_verdict = Refuse(EPERM);
  // Those that may be used beside the machine's own; any other kills the process.
  ArchitectureSet architectures = 0;
  std::span<const Rule> rules = {};
};

}  // namespace caisson::seccomp
