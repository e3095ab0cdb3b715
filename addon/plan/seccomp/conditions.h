// zone: native
#pragma once

#include "plan/seccomp/emitter.h"
#include "plan/seccomp/profile.h"

namespace caisson::seccomp {

// Whether an architecture's registers are of 32 bits to its calls. x32 belongs here although its
// registers are whole: its calls take 32 bits of them, and libseccomp compares no more either.
enum class Width : uint8_t { k32, k64 };

// The code that asks whether `rule`'s conditions are met and goes on at `met` or `unmet`.
[[nodiscard]] Emitter::Label EmitConditions(Emitter& emitter, const Rule& rule, Width width,
                                            Emitter::Label met, Emitter::Label unmet);

// Whether both widths get the same code.
[[nodiscard]] bool IsWidthIndifferent(const Rule& rule) noexcept;

}  // namespace caisson::seccomp
