// zone: native
#include "plan/parse_seccomp.h"

#include <string.h>
#include <sys/utsname.h>

#include <charconv>
#include <map>
#include <string>
#include <vector>

#include "plan/seccomp/compile.h"
#include "plan/seccomp/default_profile.h"

namespace caisson::plan {
namespace {

using protocol::SeccompPolicy;

constexpr uint32_t kMaxRules = 4096;
constexpr size_t kMaxConditions = 64;
constexpr size_t kMaxKept = 32;

// A profile of a message; the names stay where they are in it.
struct ReadProfile {
  std::vector<seccomp::Rule> rules;
  std::vector<std::vector<seccomp::Condition>> conditions;  // of the rule at the same place
  seccomp::Verdict default_verdict = 0;
  seccomp::ArchitectureSet architectures = 0;

  [[nodiscard]] seccomp::Profile Finish() {
    for (size_t i = 0; i < rules.size(); ++i) rules[i].conditions = conditions[i];
    return {.default_verdict = default_verdict, .architectures = architectures, .rules = rules};
  }
};

// What a program can be answered without somebody who listens: no SECCOMP_RET_USER_NOTIF.
Result<seccomp::Verdict> ReadVerdict(const Field& field) noexcept {
  const auto value = ReadNumber(field, 0, UINT32_MAX);
  if (!value) return std::unexpected(value.error());
  const auto verdict = static_cast<seccomp::Verdict>(*value);
  const uint32_t data = verdict & SECCOMP_RET_DATA;
  switch (verdict & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ERRNO:
      if (data > 4095) return Refuse(field.tag);  // MAX_ERRNO of the kernel
      return verdict;
    case SECCOMP_RET_TRACE:
      return verdict;
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
    case SECCOMP_RET_TRAP:
    case SECCOMP_RET_KILL_THREAD:
    case SECCOMP_RET_KILL_PROCESS:
      if (data != 0) return Refuse(field.tag);
      return verdict;
    default:
      return Refuse(field.tag);
  }
}

Result<seccomp::Condition> ReadCondition(const Field& group) noexcept {
  seccomp::Condition condition;
  SeenTags seen;
  FieldReader reader(group.payload);
  for (Field field; reader.Next(&field);) {
    if (!seen.First(field.tag)) return Refuse(field.tag);
    const auto tag = static_cast<Tag>(field.tag);
    const uint64_t most = tag == Tag::kSeccompArgument   ? 5
                          : tag == Tag::kSeccompOperator ? 6
                                                         : UINT64_MAX;
    const auto value = ReadNumber(field, 0, most);
    if (!value) return std::unexpected(value.error());
    if (tag == Tag::kSeccompArgument) {
      condition.argument = static_cast<uint8_t>(*value);
    } else if (tag == Tag::kSeccompOperator) {
      condition.op = static_cast<seccomp::Operator>(*value);
    } else if (tag == Tag::kSeccompValue) {
      condition.value = *value;
    } else if (tag == Tag::kSeccompValueTwo) {
      condition.value_two = *value;
    } else {
      return Refuse(field.tag);
    }
  }
  const bool whole = reader.ok() && seen.Has(Tag::kSeccompArgument) &&
                     seen.Has(Tag::kSeccompOperator) && seen.Has(Tag::kSeccompValue);
  if (!whole) return Refuse(group.tag);
  return condition;
}

Result<> ReadRule(const Field& group, ReadProfile& profile) {
  seccomp::Rule rule;
  std::vector<seccomp::Condition> conditions;
  SeenTags seen;
  FieldReader reader(group.payload);
  for (Field field; reader.Next(&field);) {
    const auto tag = static_cast<Tag>(field.tag);
    if (tag == Tag::kSeccompCondition) {
      if (conditions.size() == kMaxConditions) return Refuse(field.tag, E2BIG);
      const auto condition = ReadCondition(field);
      if (!condition) return std::unexpected(condition.error());
      conditions.push_back(*condition);
      continue;
    }
    if (!seen.First(field.tag)) return Refuse(field.tag);
    if (tag == Tag::kSeccompNames) {
      if (!field.ReadString(&rule.names)) return Refuse(field.tag);
    } else if (tag == Tag::kSeccompVerdict) {
      const auto verdict = ReadVerdict(field);
      if (!verdict) return std::unexpected(verdict.error());
      rule.verdict = *verdict;
    } else {
      return Refuse(field.tag);
    }
  }
  if (!reader.ok() || !seen.Has(Tag::kSeccompNames) || !seen.Has(Tag::kSeccompVerdict)) {
    return Refuse(group.tag);
  }
  if (profile.rules.size() == kMaxRules) return Refuse(group.tag, E2BIG);
  profile.rules.push_back(rule);
  profile.conditions.push_back(std::move(conditions));
  return {};
}

// The policy, with what `profile` gets where it is one of the message.
Result<SeccompPolicy> ReadPolicy(Bytes group, ReadProfile& profile) {
  auto policy = SeccompPolicy::kDefault;
  bool has_rules = false;
  SeenTags seen;
  FieldReader reader(group);
  for (Field field; reader.Next(&field);) {
    const auto tag = static_cast<Tag>(field.tag);
    if (tag == Tag::kSeccompRule) {
      has_rules = true;
      const auto read = ReadRule(field, profile);
      if (!read) return std::unexpected(read.error());
      continue;
    }
    if (!seen.First(field.tag)) return Refuse(field.tag);
    if (tag == Tag::kSeccompPolicy) {
      const auto value = ReadNumber(field, 1, static_cast<uint64_t>(SeccompPolicy::kProfile));
      if (!value) return std::unexpected(value.error());
      policy = static_cast<SeccompPolicy>(*value);
    } else if (tag == Tag::kSeccompDefault) {
      const auto verdict = ReadVerdict(field);
      if (!verdict) return std::unexpected(verdict.error());
      profile.default_verdict = *verdict;
    } else if (tag == Tag::kSeccompArchitectures) {
      const auto value = ReadNumber(field, 0, (1u << seccomp::kArchitectures) - 1);
      if (!value) return std::unexpected(value.error());
      profile.architectures = static_cast<seccomp::ArchitectureSet>(*value);
    } else {
      return Refuse(field.tag);
    }
  }
  if (!reader.ok() || !seen.Has(Tag::kSeccompPolicy)) return Refuse(Tag::kSeccomp);
  const bool is_profile = policy == SeccompPolicy::kProfile;
  if (seen.Has(Tag::kSeccompDefault) != is_profile) return Refuse(Tag::kSeccompDefault);
  const bool has_more = has_rules || seen.Has(Tag::kSeccompArchitectures);
  if (has_more && !is_profile) return Refuse(Tag::kSeccomp);
  return policy;
}

seccomp::KernelVersion RunningKernel() noexcept {
  utsname names;
  seccomp::KernelVersion version;
  if (uname(&names) != 0) return version;
  const char* end = names.release + strlen(names.release);
  const auto major = std::from_chars(names.release, end, version.major);
  if (major.ptr != end) (void)std::from_chars(major.ptr + 1, end, version.minor);
  return version;
}

Result<std::vector<sock_filter>> CompileGroup(Bytes group, uint64_t capabilities) {
  ReadProfile read;
  const auto policy = ReadPolicy(group, read);
  if (!policy) return std::unexpected(policy.error());
  const seccomp::Target target = {seccomp::kThisMachine, capabilities, RunningKernel()};
  switch (*policy) {
    case SeccompPolicy::kDefault:
      return seccomp::Compile(seccomp::DefaultProfile(), target);
    case SeccompPolicy::kStrict:
      return seccomp::Compile(seccomp::StrictProfile(), target);
    case SeccompPolicy::kProfile:
      return seccomp::Compile(read.Finish(), target);
  }
  return Refuse(Tag::kSeccompPolicy);
}

}  // namespace

Result<List<sock_filter>> ParseSeccomp(Bytes group, uint64_t capabilities, Arena& arena) {
  static std::map<std::string, std::vector<sock_filter>> kept;
  std::string key(reinterpret_cast<const char*>(group.data()), group.size());
  key.append(reinterpret_cast<const char*>(&capabilities), sizeof capabilities);
  auto found = kept.find(key);
  if (found == kept.end()) {
    auto compiled = CompileGroup(group, capabilities);
    if (!compiled) return std::unexpected(compiled.error());
    if (kept.size() == kMaxKept) kept.clear();  // they are made again as soon as they are needed
    found = kept.emplace(std::move(key), std::move(*compiled)).first;
  }
  const std::vector<sock_filter>& filter = found->second;
  auto* copy = arena.Array<sock_filter>(filter.size());
  if (copy == nullptr) return NoRoom();
  memcpy(copy, filter.data(), filter.size() * sizeof(sock_filter));
  return List<sock_filter>{copy, static_cast<uint32_t>(filter.size())};
}

}  // namespace caisson::plan
