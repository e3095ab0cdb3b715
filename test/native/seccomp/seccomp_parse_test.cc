// zone: test
// The seccomp fields of a Launch: which are taken, and that they become the filter that they say.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>

#include <new>

#include "base/arena.h"
#include "base/fields.h"
#include "launch/check.h"
#include "plan/parse.h"
#include "plan/seccomp/default_profile.h"
#include "seccomp/calls.h"
#include "seccomp/interpreter.h"

namespace {
size_t allocations = 0;
}
void* operator new(size_t size) {
  ++allocations;
  void* memory = malloc(size);
  if (memory == nullptr) abort();
  return memory;
}
void* operator new(size_t size, const std::nothrow_t& /*unused*/) noexcept {
  ++allocations;
  return malloc(size);
}
void operator delete(void* memory) noexcept {
  free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  free(memory);
}

namespace caisson::test {
namespace {

using protocol::SeccompPolicy;
using protocol::Tag;

FieldWriter Policy(SeccompPolicy policy) {
  FieldWriter group;
  group.U64(Tag::kSeccompPolicy, static_cast<uint64_t>(policy));
  return group;
}

FieldWriter ConditionOf(uint64_t argument, uint64_t op, uint64_t value) {
  FieldWriter group;
  group.U64(Tag::kSeccompArgument, argument)
      .U64(Tag::kSeccompOperator, op)
      .U64(Tag::kSeccompValue, value);
  return group;
}

FieldWriter RuleOf(std::string_view names, uint64_t verdict) {
  FieldWriter group;
  group.String(Tag::kSeccompNames, names).U64(Tag::kSeccompVerdict, verdict);
  return group;
}

FieldWriter Body(const FieldWriter& group, uint64_t bounding = 0) {
  FieldWriter body;
  body.String(Tag::kLayer, "layers/a").String(Tag::kArg, "true");
  body.Group(Tag::kSeccomp, group).U64(Tag::kCapBounding, bounding);
  return body;
}

Failure Refused(const FieldWriter& body) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseLaunch(body.bytes(), arena);
  return plan ? Failure{} : plan.error();
}

void Refuses(const FieldWriter& group, Tag tag, int error = EINVAL) {
  const Failure failure = Refused(Body(group));
  CHECK(failure.step == Step::kParse);
  CHECK_EQ(failure.error, error);
  CHECK_EQ(failure.index, static_cast<uint16_t>(tag));
}

std::vector<sock_filter> FilterOf(const FieldWriter& body) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseLaunch(body.bytes(), arena);
  CHECK(plan.has_value());
  const auto& filter = (*plan)->process.seccomp;
  return {filter.begin(), filter.end()};
}

void CheckSame(const std::vector<sock_filter>& a, const std::vector<sock_filter>& b) {
  CHECK_EQ(a.size(), b.size());
  CHECK(memcmp(a.data(), b.data(), a.size() * sizeof(sock_filter)) == 0);
}

void PoliciesAreForTheCapabilities() {
  for (const uint64_t capabilities : {uint64_t{0}, uint64_t{0xa80425fb}, uint64_t{1} << 21}) {
    // Twice: compiled, and kept from the first time.
    for (int round = 0; round < 2; ++round) {
      const seccomp::Target target = {seccomp::kThisMachine, capabilities, {6, 1}};
      CheckSame(FilterOf(Body(Policy(SeccompPolicy::kDefault), capabilities)),
                *seccomp::Compile(seccomp::DefaultProfile(), target));
      CheckSame(FilterOf(Body(Policy(SeccompPolicy::kStrict), capabilities)),
                *seccomp::Compile(seccomp::StrictProfile(), target));
    }
  }
}

void ProfilesAreTaken() {
  auto rule = RuleOf("personality uname", SECCOMP_RET_ERRNO | 13);
  rule.Group(Tag::kSeccompCondition, ConditionOf(0, 3, 8));
  auto group = Policy(SeccompPolicy::kProfile);
  group.U64(Tag::kSeccompDefault, SECCOMP_RET_LOG)
      .U64(Tag::kSeccompArchitectures, 0x1f)
      .Group(Tag::kSeccompRule, rule)
      .Group(Tag::kSeccompRule, RuleOf("getpid", SECCOMP_RET_TRAP));

  const seccomp::Condition condition[] = {
      {.argument = 0, .op = seccomp::Operator::kEqual, .value = 8}};
  const seccomp::Rule rules[] = {
      {.names = "personality uname", .verdict = seccomp::Refuse(13), .conditions = condition},
      {.names = "getpid", .verdict = SECCOMP_RET_TRAP}};
  const seccomp::Profile profile = {
      .default_verdict = SECCOMP_RET_LOG, .architectures = 0x1f, .rules = rules};
  CheckSame(FilterOf(Body(group)), *seccomp::Compile(profile, {seccomp::kThisMachine, 0, {6, 1}}));
}

// More than are kept: whatever is asked for again is the same again.
void ManyProfilesAreTaken() {
  for (int round = 0; round < 2; ++round) {
    for (int error = 1; error <= 80; ++error) {
      auto group = Policy(SeccompPolicy::kProfile);
      group.U64(Tag::kSeccompDefault, SECCOMP_RET_ERRNO | static_cast<uint64_t>(error));
      const auto filter = FilterOf(Body(group));
      CHECK_EQ(Interpret(filter, CallOf(seccomp::kThisMachine, 0)), seccomp::Refuse(error));
    }
  }
}

size_t AllocationsOf(const FieldWriter& body) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const size_t before = allocations;
  CHECK(ParseLaunch(body.bytes(), arena).has_value());
  return allocations - before;
}

// A filter is compiled once for what a group says, wherever that lies, and for the capabilities:
// compiling makes many small things, and finding it again next to none.
void WhatWasCompiledIsFoundByContent() {
  const auto body = [](uint64_t error, uint64_t capabilities) {
    auto group = Policy(SeccompPolicy::kProfile);
    group.U64(Tag::kSeccompDefault, SECCOMP_RET_ERRNO | error);
    for (const seccomp::Syscall& call : seccomp::Syscalls()) {
      group.Group(Tag::kSeccompRule, RuleOf(call.name, SECCOMP_RET_ALLOW));
    }
    return Body(group, capabilities);
  };
  constexpr size_t kMany = 40;
  constexpr size_t kFew = 10;
  CHECK(AllocationsOf(body(99, 0)) > kMany);
  CHECK(AllocationsOf(body(99, 0)) < kFew);
  CHECK(AllocationsOf(body(98, 0)) > kMany);
  CHECK(AllocationsOf(body(99, 1)) > kMany);
  CHECK(AllocationsOf(body(99, 0)) < kFew);
  CHECK(AllocationsOf(Body(Policy(SeccompPolicy::kDefault), 5)) > kMany);
  CHECK(AllocationsOf(Body(Policy(SeccompPolicy::kDefault), 5)) < kFew);
}

void RefusesWhatItDoesNotKnow() {
  Refuses(FieldWriter(), Tag::kSeccomp);
  Refuses(Policy(static_cast<SeccompPolicy>(0)), Tag::kSeccompPolicy);
  Refuses(Policy(static_cast<SeccompPolicy>(4)), Tag::kSeccompPolicy);
  auto twice = Policy(SeccompPolicy::kDefault);
  twice.U64(Tag::kSeccompPolicy, 1);
  Refuses(twice, Tag::kSeccompPolicy);
  auto strange = Policy(SeccompPolicy::kDefault);
  strange.U64(Tag::kUmask, 1);
  Refuses(strange, Tag::kUmask);
  auto more = Policy(SeccompPolicy::kStrict);
  more.Group(Tag::kSeccompRule, RuleOf("read", SECCOMP_RET_ALLOW));
  Refuses(more, Tag::kSeccomp);
  Refuses(Policy(SeccompPolicy::kProfile), Tag::kSeccompDefault);

  const auto with_default = [](uint64_t verdict) {
    auto group = Policy(SeccompPolicy::kProfile);
    group.U64(Tag::kSeccompDefault, verdict);
    return group;
  };
  for (const uint64_t verdict : {uint64_t{SECCOMP_RET_USER_NOTIF}, uint64_t{SECCOMP_RET_ALLOW} | 1,
                                 uint64_t{SECCOMP_RET_ERRNO} | 4096, uint64_t{1} << 32}) {
    Refuses(with_default(verdict), Tag::kSeccompDefault);
  }
  const auto with_rule = [&](const FieldWriter& rule) {
    auto group = with_default(SECCOMP_RET_ALLOW);
    group.Group(Tag::kSeccompRule, rule);
    return group;
  };
  Refuses(with_rule(FieldWriter()), Tag::kSeccompRule);
  const auto with_condition = [&](const FieldWriter& condition) {
    auto rule = RuleOf("read", SECCOMP_RET_TRAP);
    rule.Group(Tag::kSeccompCondition, condition);
    return with_rule(rule);
  };
  Refuses(with_condition(ConditionOf(6, 0, 0)), Tag::kSeccompArgument);
  Refuses(with_condition(ConditionOf(0, 7, 0)), Tag::kSeccompOperator);
  Refuses(with_condition(FieldWriter()), Tag::kSeccompCondition);
  auto crowded = RuleOf("read", SECCOMP_RET_TRAP);
  for (int i = 0; i < 65; ++i) crowded.Group(Tag::kSeccompCondition, ConditionOf(0, 3, 0));
  Refuses(with_rule(crowded), Tag::kSeccompCondition, E2BIG);

  // A name that nobody knows would let pass what it was meant to forbid.
  const Failure unknown = Refused(Body(with_rule(RuleOf("raed", SECCOMP_RET_TRAP))));
  CHECK(unknown.step == Step::kSeccomp);
  CHECK_EQ(unknown.error, EINVAL);

  auto both = Body(Policy(SeccompPolicy::kDefault));
  both.String(Tag::kSeccompFilter, "12345678");
  CHECK_EQ(Refused(both).index, static_cast<uint16_t>(Tag::kSeccomp));
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  RUN(PoliciesAreForTheCapabilities);
  RUN(ProfilesAreTaken);
  RUN(ManyProfilesAreTaken);
  RUN(WhatWasCompiledIsFoundByContent);
  RUN(RefusesWhatItDoesNotKnow);
}
