// zone: native
#pragma once

#include <stdint.h>

#include <span>
#include <string_view>

#include "plan/seccomp/profile.h"

namespace caisson::seccomp {

struct Syscall {
  std::string_view name;
  int32_t numbers[kArchitectures];  // -1: not there. x32's are without their bit
  KernelVersion since;              // 0.0: older than 3.0
};

// By name. It knows the calls of architectures that have no column, too, without a number.
[[nodiscard]] std::span<const Syscall> Syscalls() noexcept;
[[nodiscard]] const Syscall* FindSyscall(std::string_view name) noexcept;

[[nodiscard]] constexpr int NumberOf(const Syscall& call, Architecture architecture) noexcept {
  return call.numbers[static_cast<int>(architecture)];
}

}  // namespace caisson::seccomp
