// zone: native
#include "plan/parse_limits.h"

#include "plan/field_checks.h"

namespace caisson::plan {
namespace {

using protocol::Control;

constexpr uint32_t kMaxItems = 1000;
constexpr size_t kMaxSet = 4096;
constexpr uint64_t kMaxWeight = 10'000;
constexpr uint64_t kMaxIoWeight = 1000;
constexpr size_t kMaxPageSize = 16;

// The kernel's names of pages, "2MB", become part of a file's name.
bool IsPageSize(const char* text) noexcept {
  const char* at = text;
  while (*at >= '0' && *at <= '9') ++at;
  if (at == text || at - text > 9) return false;
  return (*at == 'K' || *at == 'M' || *at == 'G') && at[1] == 'B' && at[2] == '\0';
}

// "0-3,5": what a file of cpuset takes, and nothing that would be two writes.
bool IsSet(const char* text) noexcept {
  if (*text == '\0') return false;
  for (; *text != '\0'; ++text) {
    if ((*text < '0' || *text > '9') && *text != ',' && *text != '-') return false;
  }
  return true;
}

Control ControlOf(Tag tag) noexcept {
  switch (tag) {
    case Tag::kMemoryLimit:
    case Tag::kMemoryReservation:
      return Control::kMemory;
    case Tag::kMemorySwap:
      return Control::kSwap;
    case Tag::kCpuShares:
    case Tag::kCpuWeight:
    case Tag::kCpuQuota:
    case Tag::kCpuPeriod:
      return Control::kCpu;
    case Tag::kCpusetCpus:
    case Tag::kCpusetMems:
      return Control::kCpuset;
    case Tag::kPidsLimit:
      return Control::kPids;
    case Tag::kIoDevice:
      return Control::kIo;
    case Tag::kHugepage:
      return Control::kHugepages;
    default:
      return Control{};
  }
}

Result<> Read(const Field& field, uint64_t least, uint64_t most, Limit* limit) noexcept {
  return Store(ReadNumber(field, least, most), &limit->value);
}

// Bytes, or ~0.
Result<> ReadBytes(const Field& field, Limit* limit) noexcept {
  if (uint64_t value = 0; field.ReadU64(&value) && value == Limit::kUnlimited) {
    limit->value = value;
    return {};
  }
  return Read(field, 0, INT64_MAX, limit);
}

// A number, or ~0 for any.
Result<> ReadDeviceNumber(const Field& field, uint32_t most, uint32_t* number) noexcept {
  if (uint64_t value = 0; field.ReadU64(&value) && value == UINT64_MAX) {
    *number = DeviceRule::kAny;
    return {};
  }
  return Store(ReadNumber(field, 0, most), number);
}

Result<> ReadSet(const Field& field, Arena& arena, const char** set) noexcept {
  const auto text = ReadText(field, arena, kMaxSet);
  if (text && !IsSet(*text)) return Refuse(field.tag);
  return Store(text, set);
}

Result<IoLimits> ParseIo(const Field& group) noexcept {
  IoLimits io;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kIoMajor:
            return Store(ReadNumber(field, 0, kMaxMajor), &io.major);
          case Tag::kIoMinor:
            return Store(ReadNumber(field, 0, kMaxMinor), &io.minor);
          case Tag::kIoWeight:
            return Read(field, 1, kMaxIoWeight, &io.weight);
          case Tag::kIoReadBytes:
            return Read(field, 1, INT64_MAX, &io.read_bytes);
          case Tag::kIoWriteBytes:
            return Read(field, 1, INT64_MAX, &io.write_bytes);
          case Tag::kIoReadRequests:
            return Read(field, 1, UINT32_MAX, &io.read_requests);
          case Tag::kIoWriteRequests:
            return Read(field, 1, UINT32_MAX, &io.write_requests);
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return std::unexpected(read.error());
  if (!seen.Has(Tag::kIoMajor) || !seen.Has(Tag::kIoMinor)) return Refuse(group.tag);
  return io;
}

Result<HugepageLimit> ParseHugepage(const Field& group, Arena& arena) noexcept {
  HugepageLimit pages;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        if (tag == Tag::kHugepageBytes) {
          return Store(ReadNumber(field, 0, INT64_MAX), &pages.bytes);
        }
        if (tag != Tag::kKey) return Refuse(field.tag);
        const auto size = ReadText(field, arena, kMaxPageSize);
        if (size && !IsPageSize(*size)) return Refuse(field.tag);
        return Store(size, &pages.size);
      });
  if (!read) return std::unexpected(read.error());
  if (pages.size == nullptr || !seen.Has(Tag::kHugepageBytes)) return Refuse(group.tag);
  return pages;
}

}  // namespace

uint64_t ControlsOf(Bytes limits) noexcept {
  uint64_t controls = 0;
  FieldReader reader(limits);
  for (Field field; reader.Next(&field);) controls |= Bit(ControlOf(static_cast<Tag>(field.tag)));
  return controls;
}

Result<LimitsPlan> ParseLimits(const Field& group, Arena& arena) noexcept {
  LimitsPlan limits;
  TagCounts counts;
  if (const auto counted = counts.Count(group.payload, group.tag); !counted) {
    return std::unexpected(counted.error());
  }
  ListBuilder<IoLimits> io;
  ListBuilder<HugepageLimit> pages;
  if (counts.of(Tag::kIoDevice) > kMaxItems) return Refuse(Tag::kIoDevice, E2BIG);
  if (counts.of(Tag::kHugepage) > kMaxItems) return Refuse(Tag::kHugepage, E2BIG);
  if (!io.Reserve(arena, counts.of(Tag::kIoDevice)) ||
      !pages.Reserve(arena, counts.of(Tag::kHugepage))) {
    return NoRoom();
  }

  SeenTags seen;
  FieldReader reader(group.payload);
  Field field;
  while (reader.Next(&field)) {
    const auto tag = static_cast<Tag>(field.tag);
    const bool repeats = tag == Tag::kIoDevice || tag == Tag::kHugepage;
    if (!seen.First(field.tag) && !repeats) return Refuse(field.tag);
    Result<> read;
    switch (tag) {
      case Tag::kMemoryLimit:
        read = Read(field, 1, INT64_MAX, &limits.memory);
        break;
      case Tag::kMemorySwap:
        read = ReadBytes(field, &limits.memory_swap);
        break;
      case Tag::kMemoryReservation:
        read = Read(field, 1, INT64_MAX, &limits.memory_reservation);
        break;
      case Tag::kCpuShares:
        read = Read(field, 2, 262'144, &limits.cpu_shares);
        break;
      case Tag::kCpuWeight:
        read = Read(field, 1, kMaxWeight, &limits.cpu_weight);
        break;
      case Tag::kCpuQuota:
        read = Read(field, 1000, INT32_MAX, &limits.cpu_quota);
        break;
      case Tag::kCpuPeriod:
        read = Read(field, 1000, 1'000'000, &limits.cpu_period);
        break;
      case Tag::kCpusetCpus:
        read = ReadSet(field, arena, &limits.cpuset_cpus);
        break;
      case Tag::kCpusetMems:
        read = ReadSet(field, arena, &limits.cpuset_mems);
        break;
      case Tag::kPidsLimit:
        read = ReadBytes(field, &limits.pids);
        break;
      case Tag::kIoDevice: {
        const auto item = ParseIo(field);
        if (!item) return std::unexpected(item.error());
        if (!io.Add(*item)) return Refuse(field.tag);
        break;
      }
      case Tag::kHugepage: {
        const auto item = ParseHugepage(field, arena);
        if (!item) return std::unexpected(item.error());
        if (!pages.Add(*item)) return Refuse(field.tag);
        break;
      }
      default:
        return Refuse(field.tag);
    }
    if (!read) return std::unexpected(read.error());
  }
  if (limits.memory_swap.asked() && !limits.memory.asked()) return Refuse(Tag::kMemorySwap);
  if (!limits.memory_swap.unlimited() && limits.memory_swap.asked() &&
      limits.memory_swap.value < limits.memory.value) {
    return Refuse(Tag::kMemorySwap);
  }
  if (limits.cpu_shares.asked() != limits.cpu_weight.asked()) return Refuse(Tag::kCpuShares);
  if (limits.cpu_quota.asked() != limits.cpu_period.asked()) return Refuse(Tag::kCpuQuota);
  limits.controls = ControlsOf(group.payload);
  limits.io = io.list();
  limits.hugepages = pages.list();
  return limits;
}

Result<DeviceRule> ParseDeviceRule(const Field& group) noexcept {
  DeviceRule rule;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kRuleAllow:
            return Store(ReadFlag(field), &rule.allow);
          case Tag::kRuleKind:
            return Store(ReadNumber(field, 'a', 'c'), &rule.kind);
          case Tag::kRuleMajor:
            return ReadDeviceNumber(field, kMaxMajor, &rule.major);
          case Tag::kRuleMinor:
            return ReadDeviceNumber(field, kMaxMinor, &rule.minor);
          case Tag::kRuleAccess:
            return Store(ReadNumber(field, 1, 7), &rule.access);
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return std::unexpected(read.error());
  for (const Tag needed :
       {Tag::kRuleAllow, Tag::kRuleKind, Tag::kRuleMajor, Tag::kRuleMinor, Tag::kRuleAccess}) {
    if (!seen.Has(needed)) return Refuse(group.tag);
  }
  return rule;
}

}  // namespace caisson::plan
