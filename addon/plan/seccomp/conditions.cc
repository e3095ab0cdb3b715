// zone: native
#include "plan/seccomp/conditions.h"

#include <linux/seccomp.h>
#include <stddef.h>

#include <ranges>
#include <utility>

namespace caisson::seccomp {
namespace {

using Label = Emitter::Label;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

constexpr uint32_t LowOf(const Condition& condition) noexcept {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * condition.argument);
}
constexpr uint32_t HighOf(const Condition& condition) noexcept {
  return LowOf(condition) + 4;
}
constexpr uint32_t Low(uint64_t value) noexcept {
  return static_cast<uint32_t>(value);
}
constexpr uint32_t High(uint64_t value) noexcept {
  return static_cast<uint32_t>(value >> 32);
}

// Everything below is written backwards: what is asked last comes first.

Label EmitEqual(Emitter& emitter, const Condition& condition, bool low_only, Label yes, Label no) {
  const uint64_t value = condition.value;
  const Label low = emitter.Load(LowOf(condition), emitter.Jump(BPF_JEQ, Low(value), yes, no));
  if (low_only) return low;
  return emitter.Load(HighOf(condition), emitter.Jump(BPF_JEQ, High(value), low, no));
}

// `test` on the low halves, BPF_JGT or BPF_JGE, decides where the high ones are equal.
Label EmitGreater(Emitter& emitter, const Condition& condition, uint16_t test, bool low_only,
                  Label yes, Label no) {
  const uint64_t value = condition.value;
  const Label low = emitter.Load(LowOf(condition), emitter.Jump(test, Low(value), yes, no));
  if (low_only) return low;
  const Label equal = emitter.Jump(BPF_JEQ, High(value), low, no);
  return emitter.Load(HighOf(condition), emitter.Jump(BPF_JGT, High(value), yes, equal));
}

Label EmitMaskedHalf(Emitter& emitter, uint32_t offset, uint32_t mask, uint32_t value, Label yes,
                     Label no) {
  if ((value & ~mask) != 0) return no;
  if (mask == 0) return yes;
  if (value == 0) return emitter.Load(offset, emitter.Jump(BPF_JSET, mask, no, yes));
  const Label test = emitter.Jump(BPF_JEQ, value, yes, no);
  return emitter.Load(offset, mask == UINT32_MAX ? test : emitter.And(mask, test));
}

Label EmitMasked(Emitter& emitter, const Condition& condition, bool low_only, Label yes, Label no) {
  const uint64_t mask = condition.value;
  const uint64_t value = condition.value_two;
  const Label low = EmitMaskedHalf(emitter, LowOf(condition), Low(mask), Low(value), yes, no);
  if (low_only) return low;
  return EmitMaskedHalf(emitter, HighOf(condition), High(mask), High(value), low, no);
}

Label EmitCondition(Emitter& emitter, const Condition& condition, Width width, Label yes,
                    Label no) {
  const bool low_only = condition.low_half || width == Width::k32;
  switch (condition.op) {
    case Operator::kEqual:
      return EmitEqual(emitter, condition, low_only, yes, no);
    case Operator::kNotEqual:
      return EmitEqual(emitter, condition, low_only, no, yes);
    case Operator::kGreater:
      return EmitGreater(emitter, condition, BPF_JGT, low_only, yes, no);
    case Operator::kGreaterOrEqual:
      return EmitGreater(emitter, condition, BPF_JGE, low_only, yes, no);
    case Operator::kLess:
      return EmitGreater(emitter, condition, BPF_JGE, low_only, no, yes);
    case Operator::kLessOrEqual:
      return EmitGreater(emitter, condition, BPF_JGT, low_only, no, yes);
    case Operator::kMaskedEqual:
      return EmitMasked(emitter, condition, low_only, yes, no);
  }
  return no;
}

bool HasArgumentTwice(const Rule& rule) noexcept {
  unsigned seen = 0;
  for (const Condition& condition : rule.conditions) {
    const unsigned bit = 1u << condition.argument;
    if ((seen & bit) != 0) return true;
    seen |= bit;
  }
  return false;
}

}  // namespace

Label EmitConditions(Emitter& emitter, const Rule& rule, Width width, Label met, Label unmet) {
  const bool any = HasArgumentTwice(rule);
  Label next = any ? unmet : met;
  for (const Condition& condition : std::views::reverse(rule.conditions)) {
    next = any ? EmitCondition(emitter, condition, width, met, next)
               : EmitCondition(emitter, condition, width, next, unmet);
  }
  return next;
}

bool IsWidthIndifferent(const Rule& rule) noexcept {
  for (const Condition& condition : rule.conditions) {
    if (condition.low_half) continue;
    if (condition.op != Operator::kMaskedEqual) return false;
    if (High(condition.value) != 0 || High(condition.value_two) != 0) return false;
  }
  return true;
}

}  // namespace caisson::seccomp
