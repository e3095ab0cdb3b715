// zone: native
#include "plan/seccomp/syscall_table.h"

#include <algorithm>

#include "plan/seccomp/syscall_numbers.h"

namespace caisson::seccomp {

static_assert(std::ranges::is_sorted(kSyscalls, {}, &Syscall::name));

std::span<const Syscall> Syscalls() noexcept {
  return kSyscalls;
}

const Syscall* FindSyscall(std::string_view name) noexcept {
  const auto* found = std::ranges::lower_bound(kSyscalls, name, {}, &Syscall::name);
  return found != std::end(kSyscalls) && found->name == name ? found : nullptr;
}

}  // namespace caisson::seccomp
