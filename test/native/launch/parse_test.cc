// zone: test
// What the parser of Launch and Exec takes and what it refuses. No privileges.
#include "plan/parse.h"

#include <linux/mount.h>
#include <sched.h>

#include <optional>

#include "base/arena.h"
#include "base/fields.h"
#include "launch/check.h"
#include "plan/shared_namespaces.h"

namespace caisson::test {
namespace {

using protocol::MountKind;
using protocol::Tag;

std::string Told(const Failure& failure) {
  return std::string(failure.step == Step::kParse ? "" : "(another step) ") +
         strerrorname_np(failure.error) + " " + std::to_string(failure.index);
}

std::string Launch(const FieldWriter& body) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseLaunch(body.bytes(), arena);
  return plan ? "ok" : Told(plan.error());
}

std::string Exec(const FieldWriter& body) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseExec(body.bytes(), arena);
  return plan ? "ok" : Told(plan.error());
}

FieldWriter Least() {
  FieldWriter body;
  body.String(Tag::kLayer, "layers/a").String(Tag::kArg, "true");
  return body;
}

std::string With(Tag tag, const std::string& value) {
  auto body = Least();
  body.String(tag, value);
  return Launch(body);
}

std::string With(Tag tag, uint64_t value) {
  auto body = Least();
  body.U64(tag, value);
  return Launch(body);
}

std::string WithGroup(Tag tag, const FieldWriter& group) {
  auto body = Least();
  body.Group(tag, group);
  return Launch(body);
}

std::string Einval(Tag tag) {
  return "EINVAL " + std::to_string(static_cast<int>(tag));
}
std::string E2big(Tag tag) {
  return "E2BIG " + std::to_string(static_cast<int>(tag));
}

void NeedsWhatItNeeds() {
  CHECK_EQ(Launch(Least()), "ok");
  FieldWriter body;
  CHECK_EQ(Launch(body), Einval(Tag::kArg));
  body.String(Tag::kArg, "true");
  CHECK_EQ(Launch(body), Einval(Tag::kLayer));
  CHECK_EQ(Exec(body), Einval(Tag::kContainer));
  body.U64(Tag::kContainer, 7);
  CHECK_EQ(Exec(body), "ok");
  FieldWriter empty;
  empty.String(Tag::kLayer, "layers/a").String(Tag::kArg, "");
  CHECK_EQ(Launch(empty), Einval(Tag::kArg));
}

void RefusesWhatItDoesNotKnow() {
  CHECK_EQ(With(Tag{9999}, 1), "EINVAL 9999");
  CHECK_EQ(With(Tag{0}, 1), "EINVAL 0");
  CHECK_EQ(With(Tag::kContainer, 1), Einval(Tag::kContainer));
  CHECK_EQ(With(Tag::kMountKind, 1), Einval(Tag::kMountKind));
  CHECK_EQ(With(Tag::kExitCode, 1), Einval(Tag::kExitCode));
  auto body = Least();
  body.String(Tag::kHostname, "a").String(Tag::kHostname, "b");
  CHECK_EQ(Launch(body), Einval(Tag::kHostname));
  body = Least();
  body.String(Tag::kCwd, "/a").String(Tag::kCwd, "/a");
  CHECK_EQ(Launch(body), Einval(Tag::kCwd));
}

void RefusesPathsThatLeave() {
  for (const char* path : {"", "/abs", "a/../b", "..", "a/", "a//b", "./a"}) {
    CHECK_EQ(With(Tag::kFolderContainer, path), Einval(Tag::kFolderContainer));
    CHECK_EQ(With(Tag::kLayer, path), Einval(Tag::kLayer));
  }
  for (const char* path : {"", "relative", "/", "/..", "/a/../b", "/a/..", "/."}) {
    CHECK_EQ(With(Tag::kMaskedPath, path), Einval(Tag::kMaskedPath));
  }
  for (const char* name : {"", ".", "..", "a/b", "a\nb"}) {
    CHECK_EQ(With(Tag::kCgroupName, name), Einval(Tag::kCgroupName));
  }
  CHECK_EQ(With(Tag::kCwd, "relative"), Einval(Tag::kCwd));
  CHECK_EQ(With(Tag::kMaskedPath, "/" + std::string(5000, 'x')),
           "ENAMETOOLONG " + std::to_string(static_cast<int>(Tag::kMaskedPath)));
  for (const Tag tag : {Tag::kArg, Tag::kEnv, Tag::kHostname, Tag::kUser, Tag::kCwd}) {
    CHECK_EQ(With(tag, std::string("/a=\0b", 5)), Einval(tag));
  }
}

// All four or none, and nothing of the machine's beside it.
void ChecksUserNamespaces() {
  const auto with = [](const char* map, uint64_t namespaces, uint64_t owner) {
    auto body = Least();
    body.String(Tag::kUidMap, map).String(Tag::kGidMap, map);
    body.U64(Tag::kOwnerUid, owner).U64(Tag::kOwnerGid, 7).U64(Tag::kNamespaces, namespaces);
    return Launch(body);
  };
  constexpr uint64_t kAll =
      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
  constexpr char kMap[] = "0 100000 65536\n65536 7 1\n";
  CHECK_EQ(with(kMap, kAll, 100000), "ok");
  for (const char* map : {"", "0 1 x", "0 1 1;"}) {
    CHECK_EQ(with(map, kAll, 100000), Einval(Tag::kUidMap));
  }
  CHECK_EQ(with(kMap, kAll & ~uint64_t{CLONE_NEWNET}, 100000), Einval(Tag::kUidMap));
  CHECK_EQ(with(kMap, kAll, 0xffffffff), Einval(Tag::kOwnerUid));
  CHECK_EQ(With(Tag::kUidMap, kMap), Einval(Tag::kGidMap));
  CHECK_EQ(With(Tag::kOwnerGid, 7), Einval(Tag::kOwnerGid));
}

void ChecksRanges() {
  CHECK_EQ(With(Tag::kNamespaces, CLONE_NEWNS), "ok");
  CHECK_EQ(With(Tag::kNamespaces, CLONE_NEWPID), Einval(Tag::kNamespaces));
  CHECK_EQ(With(Tag::kNamespaces, CLONE_NEWNS | CLONE_NEWPID), "ok");
  for (const SharedNamespace& shared : kSharedNamespaces) {
    const auto with = [&shared](uint64_t id, uint64_t own) {
      auto body = Least();
      body.U64(Tag::kNamespaces, own).U64(shared.tag, id);
      return Launch(body);
    };
    CHECK_EQ(with(7, (CLONE_NEWNS | CLONE_NEWPID) & ~shared.flag), "ok");
    CHECK_EQ(with(7, CLONE_NEWNS | CLONE_NEWPID | shared.flag), Einval(Tag::kNamespaces));
    CHECK_EQ(with(0, CLONE_NEWNS | CLONE_NEWPID), Einval(shared.tag));
    CHECK_EQ(with(uint64_t{1} << 32, CLONE_NEWNS | CLONE_NEWPID), Einval(shared.tag));
  }
  CHECK_EQ(With(Tag::kNamespaces, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER),
           Einval(Tag::kNamespaces));
  CHECK_EQ(With(Tag::kNamespaces, CLONE_NEWNS | CLONE_NEWPID | 1), Einval(Tag::kNamespaces));
  ChecksUserNamespaces();
  CHECK_EQ(With(Tag::kReadOnlyRoot, 2), Einval(Tag::kReadOnlyRoot));
  CHECK_EQ(With(Tag::kReadOnlyRoot, "x"), Einval(Tag::kReadOnlyRoot));
  CHECK_EQ(With(Tag::kStdin, 2), Einval(Tag::kStdin));
  CHECK_EQ(With(Tag::kStdout, 2), "ok");
  CHECK_EQ(With(Tag::kUmask, 01000), Einval(Tag::kUmask));
  CHECK_EQ(With(Tag::kOomScoreAdj, static_cast<uint64_t>(-1000)), "ok");
  CHECK_EQ(With(Tag::kOomScoreAdj, static_cast<uint64_t>(-1001)), Einval(Tag::kOomScoreAdj));
  CHECK_EQ(With(Tag::kHostname, std::string(65, 'h')), Einval(Tag::kHostname));
  CHECK_EQ(With(Tag::kEnv, "NOVALUE"), Einval(Tag::kEnv));
  CHECK_EQ(With(Tag::kEnv, "=x"), Einval(Tag::kEnv));
  CHECK_EQ(With(Tag::kEnv, "A=" + std::string(131'069, 'x')), "ok");
  CHECK_EQ(With(Tag::kEnv, "A=" + std::string(131'070, 'x')), E2big(Tag::kEnv));
  CHECK_EQ(With(Tag::kArg, std::string(131'072, 'x')), E2big(Tag::kArg));
  CHECK_EQ(With(Tag::kSeccompFilter, std::string(7, 'x')), Einval(Tag::kSeccompFilter));
  CHECK_EQ(With(Tag::kSeccompFilter, std::string(8 * 4097, 'x')), E2big(Tag::kSeccompFilter));
  auto body = Least();
  for (uint32_t i = 0; i < kMaxLayers; ++i) body.String(Tag::kLayer, "layers/a");
  CHECK_EQ(Launch(body), E2big(Tag::kLayer));
}

void ChecksGroups() {
  FieldWriter mount;
  CHECK_EQ(WithGroup(Tag::kMount, mount), Einval(Tag::kMountKind));
  mount.U64(Tag::kMountKind, 1);
  CHECK_EQ(WithGroup(Tag::kMount, mount), Einval(Tag::kMountTarget));
  mount.String(Tag::kMountTarget, "/data");
  CHECK_EQ(WithGroup(Tag::kMount, mount), Einval(Tag::kMountSource));
  mount.String(Tag::kMountSource, "/host");
  CHECK_EQ(WithGroup(Tag::kMount, mount), "ok");
  auto more = mount;
  more.String(Tag::kMountData, "size=1m");
  CHECK_EQ(WithGroup(Tag::kMount, more), Einval(Tag::kMountData));
  more = mount;
  more.String(Tag::kMountScratch, "x");
  CHECK_EQ(WithGroup(Tag::kMount, more), Einval(Tag::kMountScratch));
  more = mount;
  more.U64(Tag::kMountAttr, MOUNT_ATTR_IDMAP);
  CHECK_EQ(WithGroup(Tag::kMount, more), Einval(Tag::kMountAttr));
  more = mount;
  more.U64(Tag::kMountPropagation, MS_SHARED | MS_SLAVE);
  CHECK_EQ(WithGroup(Tag::kMount, more), Einval(Tag::kMountPropagation));

  for (const char* key :
       {"", "a..b", "/kernel", "kernel/", "net.ipv4.+x", "a\nb", "../a", "a//b"}) {
    FieldWriter pair;
    pair.String(Tag::kKey, key).String(Tag::kValue, "1");
    CHECK_EQ(WithGroup(Tag::kSysctl, pair), Einval(Tag::kKey));
  }
  FieldWriter limit;
  limit.U64(Tag::kRlimitKind, 7).U64(Tag::kRlimitSoft, 2).U64(Tag::kRlimitHard, 1);
  CHECK_EQ(WithGroup(Tag::kRlimit, limit), Einval(Tag::kRlimit));
  FieldWriter device;
  device.String(Tag::kDevicePath, "/dev/x").U64(Tag::kDeviceKind, 0100000);
  CHECK_EQ(WithGroup(Tag::kDevice, device), Einval(Tag::kDeviceKind));
  FieldWriter realtime;
  realtime.U64(Tag::kTimeClock, 0).U64(Tag::kTimeSeconds, 1);
  CHECK_EQ(WithGroup(Tag::kTimeOffset, realtime), Einval(Tag::kTimeClock));
  FieldWriter second;
  second.U64(Tag::kTimeClock, 1).U64(Tag::kTimeNanoseconds, 1'000'000'000);
  CHECK_EQ(WithGroup(Tag::kTimeOffset, second), Einval(Tag::kTimeNanoseconds));
}

void FindsWhereToLook() {
  const auto candidates = [](const char* name, std::optional<std::string> path) {
    FieldWriter body;
    body.String(Tag::kLayer, "layers/a").String(Tag::kArg, name);
    if (path) body.String(Tag::kEnv, "PATH=" + *path);
    Arena arena(ParseArenaBytes(body.bytes().size()));
    const auto plan = ParseLaunch(body.bytes(), arena);
    CHECK(plan.has_value());
    std::string all;
    for (const char* candidate : (*plan)->process.exec_candidates) {
      all += std::string(candidate) + " ";
    }
    return all;
  };
  CHECK_EQ(candidates("x", "/a:/b/"), "/a/x /b//x ");
  CHECK_EQ(candidates("x", ":/a:"), "./x /a/x ./x ");
  CHECK_EQ(candidates("./x", "/a"), "./x ");
  CHECK_EQ(candidates("/x", {}), "/x ");
  CHECK_EQ(candidates("x", {}),
           "/usr/local/sbin/x /usr/local/bin/x /usr/sbin/x /usr/bin/x /sbin/x /bin/x ");
  FieldWriter body;
  body.String(Tag::kLayer, "a").String(Tag::kArg, std::string(255, 'x'));
  body.String(Tag::kEnv, "PATH=" + std::string(1023, ':'));
  CHECK_EQ(Launch(body), "ok");
  body.String(Tag::kEnv, "PATH=" + std::string(1024, ':'));
  CHECK_EQ(Launch(body), E2big(Tag::kEnv));
}

void EndsInANullAndHasRoomForHome() {
  auto body = Least();
  body.String(Tag::kArg, "two").String(Tag::kEnv, "A=1");
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseLaunch(body.bytes(), arena);
  CHECK(plan.has_value());
  const ProcessPlan& process = (*plan)->process;
  CHECK_EQ(process.argv[1], std::string("two"));
  CHECK(process.argv[2] == nullptr);
  CHECK_EQ(process.envc, 1u);
  CHECK(process.envp[1] == nullptr && process.envp[2] == nullptr);
}

std::string Bundle(const FieldWriter& body) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseBundle(body.bytes(), arena);
  return plan ? "ok" : Told(plan.error());
}

FieldWriter LeastBundle() {
  FieldWriter body;
  body.String(Tag::kRootfs, "/bundle/rootfs").String(Tag::kArg, "true");
  return body;
}

FieldWriter Hook(const char* path) {
  FieldWriter hook;
  hook.U64(Tag::kHookPoint, 1).String(Tag::kHookPath, path);
  return hook;
}

void TakesBundlesWhereTheyAreAskedFor() {
  const auto with = [](Tag tag, const FieldWriter& group) {
    auto body = LeastBundle();
    body.Group(tag, group);
    return Bundle(body);
  };
  CHECK_EQ(Bundle(LeastBundle()), "ok");
  CHECK_EQ(Launch(LeastBundle()), Einval(Tag::kLayer));
  CHECK_EQ(Bundle(Least()), Einval(Tag::kRootfs));
  CHECK_EQ(With(Tag::kRootfs, "/bundle/rootfs"), Einval(Tag::kRootfs));
  CHECK_EQ(WithGroup(Tag::kHook, Hook("/bin/hook")), Einval(Tag::kHook));

  CHECK_EQ(with(Tag::kHook, Hook("/bin/hook")), "ok");
  CHECK_EQ(with(Tag::kHook, Hook("bin/hook")), Einval(Tag::kHookPath));
  FieldWriter hook = Hook("/bin/hook");
  hook.U64(Tag::kHookPoint, 2);
  CHECK_EQ(with(Tag::kHook, hook), Einval(Tag::kHookPoint));
  hook = FieldWriter();
  hook.U64(Tag::kHookPoint, 7).String(Tag::kHookPath, "/bin/hook");
  CHECK_EQ(with(Tag::kHook, hook), Einval(Tag::kHookPoint));

  FieldWriter space;
  space.U64(Tag::kNamespaceKind, CLONE_NEWNET).String(Tag::kNamespaceFile, "/run/netns/a");
  CHECK_EQ(with(Tag::kNamespacePath, space), "ok");
  space = FieldWriter();
  space.U64(Tag::kNamespaceKind, CLONE_NEWNET | CLONE_NEWIPC).String(Tag::kNamespaceFile, "/a");
  CHECK_EQ(with(Tag::kNamespacePath, space), Einval(Tag::kNamespaceKind));

  auto twice = LeastBundle();
  twice.String(Tag::kRootfs, "/other");
  CHECK_EQ(Bundle(twice), Einval(Tag::kRootfs));
  for (const char* path : {"/leading", "a/../b", "", "a//b"}) {
    auto body = LeastBundle();
    body.String(Tag::kCgroupsPath, path);
    CHECK_EQ(Bundle(body), Einval(Tag::kCgroupsPath));
  }
}

void GivesHooksAnArgvAndAnEnvironment() {
  auto body = LeastBundle();
  FieldWriter hook = Hook("/bin/hook");
  hook.String(Tag::kHookArg, "name").String(Tag::kHookEnv, "A=1").String(Tag::kHookArg, "two");
  body.Group(Tag::kHook, Hook("/bin/plain")).Group(Tag::kHook, hook);
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseBundle(body.bytes(), arena);
  CHECK(plan.has_value());
  const List<HookItem>& hooks = (*plan)->bundle.hooks;
  CHECK_EQ(hooks.count, 2u);
  CHECK_EQ(hooks.items[0].argv[0], std::string("/bin/plain"));
  CHECK(hooks.items[0].argv[1] == nullptr && hooks.items[0].envp[0] == nullptr);
  CHECK_EQ(hooks.items[1].argv[1], std::string("two"));
  CHECK(hooks.items[1].argv[2] == nullptr);
  CHECK_EQ(hooks.items[1].envp[0], std::string("A=1"));
}

void SurvivesASmallArenaAndBrokenFrames() {
  auto body = Least();
  body.String(Tag::kEnv, "A=" + std::string(100'000, 'x'));
  Arena small(4096);
  const auto plan = ParseLaunch(body.bytes(), small);
  CHECK(!plan && plan.error().step == Step::kArena && plan.error().error == ENOMEM);
  const Bytes whole = body.bytes();
  for (size_t size = 1; size < 200; ++size) {
    Arena arena(ParseArenaBytes(size));
    CHECK(!ParseLaunch(whole.subspan(0, size), arena).has_value() || size % 8 == 0);
  }
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  RUN(NeedsWhatItNeeds);
  RUN(RefusesWhatItDoesNotKnow);
  RUN(RefusesPathsThatLeave);
  RUN(ChecksRanges);
  RUN(ChecksGroups);
  RUN(FindsWhereToLook);
  RUN(EndsInANullAndHasRoomForHome);
  RUN(TakesBundlesWhereTheyAreAskedFor);
  RUN(GivesHooksAnArgvAndAnEnvironment);
  RUN(SurvivesASmallArenaAndBrokenFrames);
}
