// zone: test
#pragma once

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <string>
#include <vector>

#include "plan/seccomp/compile.h"
#include "plan/seccomp/syscall_table.h"

// What the tests of the filter have in common: calls as the kernel shows them to a filter.
namespace caisson::test {

using namespace caisson::seccomp;

constexpr uint32_t kAudit[kArchitectures] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,
                                             AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM};
constexpr const char* kArchitectureNames[kArchitectures] = {"x86_64", "x32", "i386", "aarch64",
                                                            "arm"};

constexpr Architecture kX86Family[] = {Architecture::kX86_64, Architecture::kX32,
                                       Architecture::kI386};
constexpr Architecture kArmFamily[] = {Architecture::kAarch64, Architecture::kArm};

// Docker's default capabilities: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
// NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP.
constexpr uint64_t kDockerCapabilities = 0xa80425fb;

inline seccomp_data CallOf(Architecture architecture, uint32_t number,
                           std::initializer_list<uint64_t> arguments = {}) {
  seccomp_data data = {};
  const uint32_t bit = architecture == Architecture::kX32 ? 0x40000000 : 0;
  data.nr = static_cast<int>(number | bit);
  data.arch = kAudit[static_cast<int>(architecture)];
  size_t index = 0;
  for (const uint64_t argument : arguments) data.args[index++] = argument;
  return data;
}

// Arguments that the default profile, or a mistake in it, could treat differently.
inline const std::vector<uint64_t>& InterestingValues() {
  static const std::vector<uint64_t> values = {0,
                                               1,
                                               2,
                                               8,
                                               16,
                                               37,
                                               38,
                                               39,
                                               40,
                                               41,
                                               0x11,
                                               0x20000,
                                               0x20008,
                                               0x20001,
                                               0x7e020000,
                                               0x10000000,
                                               0x02000000,
                                               0x00020000,
                                               0x7fffffff,
                                               0x80000000,
                                               0xffffffff,
                                               0x100000000,
                                               0x100000008,
                                               0x100000026,
                                               0x100000028,
                                               0x100020000,
                                               0xffffffff00000000,
                                               0xffffffffffffffff,
                                               0xffffffff80000026};
  return values;
}

}  // namespace caisson::test
