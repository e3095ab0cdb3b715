// zone: native
#include "plan/parse_time.h"

#include <stdio.h>
#include <time.h>

namespace caisson::plan {

Result<const char*> ParseTimeOffset(const Field& group, Arena& arena) noexcept {
  constexpr uint64_t kMaxNanoseconds = 999'999'999;
  uint64_t clock = 0;
  uint64_t seconds = 0;  // two's complement
  uint64_t nanoseconds = 0;
  SeenTags seen;
  FieldReader reader(group.payload);
  for (Field field; reader.Next(&field);) {
    if (!seen.First(field.tag)) return Refuse(field.tag);
    const auto tag = static_cast<Tag>(field.tag);
    const auto value =
        ReadNumber(field, 0, tag == Tag::kTimeNanoseconds ? kMaxNanoseconds : UINT64_MAX);
    if (!value) return std::unexpected(value.error());
    if (tag == Tag::kTimeClock) {
      clock = *value;
    } else if (tag == Tag::kTimeSeconds) {
      seconds = *value;
    } else if (tag == Tag::kTimeNanoseconds) {
      nanoseconds = *value;
    } else {
      return Refuse(field.tag);
    }
  }
  if (!reader.ok() || !seen.Has(Tag::kTimeClock)) return Refuse(group.tag);
  if (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) return Refuse(Tag::kTimeClock);

  char line[64];
  (void)snprintf(line, sizeof line, "%llu %lld %llu\n", static_cast<unsigned long long>(clock),
                 static_cast<long long>(seconds), static_cast<unsigned long long>(nanoseconds));
  const char* copy = arena.String(line);
  if (copy == nullptr) return NoRoom();
  return copy;
}

}  // namespace caisson::plan
