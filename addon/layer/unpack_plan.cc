// zone: native
#include "layer/unpack_plan.h"

#include <errno.h>

#include <algorithm>
#include <string_view>

#include "plan/protocol.h"

namespace caisson::layer {

using protocol::Tag;

Result<UnpackPlan> ParseUnpack(Bytes body) {
  UnpackPlan plan;
  struct Number {
    Tag tag;
    uint64_t* to;
    bool seen = false;
  };
  Number numbers[] = {{Tag::kUnpackOffset, &plan.offset},
                      {Tag::kUnpackLength, &plan.length},
                      {Tag::kUnpackMaxBytes, &plan.max_bytes},
                      {Tag::kUnpackMaxEntries, &plan.max_entries}};
  FieldReader reader(body);
  for (Field field; reader.Next(&field);) {
    std::string_view text;
    if (field.tag == static_cast<uint16_t>(Tag::kUnpackTarget) && plan.target.empty() &&
        field.ReadString(&text)) {
      plan.target = text;
      continue;
    }
    const auto number = std::ranges::find_if(
        numbers, [&](const Number& one) { return static_cast<uint16_t>(one.tag) == field.tag; });
    if (number == std::end(numbers) || number->seen || !field.ReadU64(number->to)) {
      return Fail(Step::kParse, EINVAL, field.tag);
    }
    number->seen = true;
  }
  if (!reader.ok()) return Fail(Step::kParse, EBADMSG);
  if (plan.target.empty()) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(Tag::kUnpackTarget));
  }
  for (const Number& number : numbers) {
    if (!number.seen) return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(number.tag));
  }
  constexpr uint64_t kMostBytes = INT64_MAX;
  if (plan.offset > kMostBytes || plan.length > kMostBytes - plan.offset) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(Tag::kUnpackLength));
  }
  return plan;
}

}  // namespace caisson::layer
