// zone: test
// Needs: root and a writable cgroup hierarchy of any kind. Groups of containers and of execs.
#include <linux/magic.h>
#include <sys/vfs.h>

#include "launch/device_control.h"
#include "launch/sandbox.h"

namespace caisson::test {
namespace {

Sandbox* box;
std::string unique;
std::vector<std::string> roots;  // what this test made, for the end

bool IsCgroup2(const std::string& path) {
  struct statfs info;
  return statfs(path.c_str(), &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

void AddHierarchy(const std::string& mount, const std::string& name, bool v2) {
  const std::string path = mount + "/caisson-test-" + unique;
  if (access(mount.c_str(), W_OK) != 0 || mkdir(path.c_str(), 0755) != 0) return;
  roots.push_back(path);
  launch::Hierarchy hierarchy;
  hierarchy.folder.reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  hierarchy.v2 = v2;
  hierarchy.name = name;
  CHECK(hierarchy.folder.valid());
  box->host.hierarchies.push_back(std::move(hierarchy));
}

void FindHierarchies() {
  const std::string top = "/sys/fs/cgroup";
  if (IsCgroup2(top)) return AddHierarchy(top, "", true);
  if (IsCgroup2(top + "/unified")) AddHierarchy(top + "/unified", "", true);
  AddHierarchy(top + "/pids", "pids", false);
  AddHierarchy(top + "/freezer", "freezer", false);
}

std::vector<std::string> FoldersOf(const std::string& name) {
  std::vector<std::string> folders;
  for (const auto& root : roots) folders.push_back(root + "/" + name);
  return folders;
}

// Where an exec has a group of its own: v2, else the freezer.
std::string FolderOfExec(const std::string& name) {
  for (size_t i = 0; i < roots.size(); ++i) {
    const launch::Hierarchy& hierarchy = box->host.hierarchies[i];
    if (hierarchy.v2 || hierarchy.name == "freezer") return roots[i] + "/" + name;
  }
  return roots[0] + "/" + name;
}

int Members(const std::string& folder) {
  std::ifstream file(folder + "/cgroup.procs");
  std::string line;
  int count = 0;
  while (std::getline(file, line)) ++count;
  return count;
}

void MakesAndRemoves() {
  const auto cgroup = launch::MakeCgroup(box->host, "c1/e1", 0, {});
  CHECK(cgroup.has_value());
  CHECK_EQ(cgroup->folders.size(), roots.size());
  for (const auto& folder : FoldersOf("c1/e1")) CHECK(access(folder.c_str(), F_OK) == 0);
  CHECK(launch::RemoveCgroup(box->host, "c1").has_value());
  for (const auto& folder : FoldersOf("c1")) CHECK(access(folder.c_str(), F_OK) != 0);
  CHECK(launch::RemoveCgroup(box->host, "c1").has_value());
  CHECK(launch::KillCgroup(box->host, "c1").has_value());
}

void PutsAContainerInAllOfThem() {
  const auto cgroup = launch::MakeCgroup(box->host, "c2", 0, {});
  CHECK(cgroup.has_value());
  // Its own group is the root of what it sees, in every hierarchy that it was put in.
  auto body = box->Body({"sh", "-c",
                         "grep -cE '^0::/$|:(pids|freezer):/$' /proc/self/cgroup; "
                         "ls /sys/fs/cgroup | head -1; (mkdir /sys/fs/cgroup/x) 2>&1; "
                         "cat /proc/self/cgroup >&2"});
  body.Group(Tag::kMount, Mount(MountKind::kCgroup, "/sys/fs/cgroup", MOUNT_ATTR_RDONLY));
  const auto outcome = box->Launch(body, *cgroup, [](const launch::Started&) {
    for (const auto& folder : FoldersOf("c2")) CHECK(Members(folder) >= 1);
  });
  if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
  // Where cgroup2 is left aside its root is still the root of what is seen.
  CHECK(atoi(outcome.out.c_str()) >= static_cast<int>(roots.size()));
  CHECK(outcome.out.find("Read-only file system") != std::string::npos);
  CHECK(launch::RemoveCgroup(box->host, "c2").has_value());
}

void EndsAnExecWithoutTheContainer() {
  const auto cgroup = launch::MakeCgroup(box->host, "c3", 0, {});
  CHECK(cgroup.has_value());
  const auto ended =
      box->Launch(box->Body({"sleep", "100"}), *cgroup, [](const launch::Started& container) {
        const auto group = launch::MakeExecCgroup(box->host, "c3", "c3/e1", 0);
        CHECK(group.has_value());
        const auto outcome =
            box->Join(box->ExecBody({"sh", "-c", "setsid sleep 1000 & echo up; exec sleep 1001"}),
                      container.pidfd.get(), &*group, [](const launch::Started&) {
                        const std::string own = FolderOfExec("c3/e1");
                        for (int look = 0; look < 200 && Members(own) < 2; ++look) usleep(10'000);
                        CHECK_EQ(Members(own), 2);
                        // Everywhere else it is where its container is.
                        for (size_t i = 0; i < roots.size(); ++i) {
                          const bool apart = FoldersOf("c3/e1")[i] == own;
                          CHECK_EQ(Members(FoldersOf("c3")[i]), apart ? 1 : 3);
                        }
                        CHECK(launch::KillCgroup(box->host, "c3/e1").has_value());
                      });
        CHECK_EQ(outcome.signal, SIGKILL);
        CHECK(launch::RemoveCgroup(box->host, "c3/e1").has_value());
        for (const auto& folder : FoldersOf("c3")) CHECK_EQ(Members(folder), 1);
        CHECK_OK(syscall(424, container.pidfd.get(), 0, nullptr, 0));
        CHECK_OK(syscall(424, container.pidfd.get(), SIGKILL, nullptr, 0));
      });
  CHECK_EQ(ended.signal, SIGKILL);
  CHECK(launch::RemoveCgroup(box->host, "c3").has_value());
}

void RemovesWithAForkingCrowdInside() {
  const auto cgroup = launch::MakeCgroup(box->host, "c4", 0, {});
  CHECK(cgroup.has_value());
  const auto outcome =
      box->Launch(box->Body({"sh", "-c",
                             "for i in 1 2 3 4; do (while :; do sleep 0.01 & sleep 0.01; done) & "
                             "done; wait"}),
                  *cgroup, [](const launch::Started&) {
                    usleep(50'000);
                    CHECK(launch::KillCgroup(box->host, "c4").has_value());
                  });
  CHECK_EQ(outcome.signal, SIGKILL);
  CHECK(launch::RemoveCgroup(box->host, "c4").has_value());
  for (const auto& folder : FoldersOf("c4")) CHECK(access(folder.c_str(), F_OK) != 0);
}

// What a container may do with a node that it makes, by the default rules and by more.
void RulesDevices() {
  constexpr auto kWrite = static_cast<uint8_t>(protocol::DeviceAccess::kWrite);
  const List<DeviceRule> usual = launch::DefaultDeviceRules();
  std::vector<DeviceRule> more(usual.begin(), usual.end());
  more.push_back({true, 'c', kWrite, 1, 11});
  const std::string script =
      "cd /dev; busybox mknod n c 1 3 && (: < n) && echo null;"
      "busybox mknod k c 1 11 && (: > k) && echo written; (: < k) && echo read";
  for (const bool allowed : {false, true}) {
    const List<DeviceRule> own = {more.data(), static_cast<uint32_t>(more.size())};
    const auto cgroup = launch::MakeCgroup(box->host, "c5", 0, allowed ? own : List<DeviceRule>{});
    CHECK(cgroup.has_value());
    const auto outcome = box->Launch(box->Body({"sh", "-c", script}), *cgroup);
    if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
    CHECK_EQ(outcome.out, allowed ? "null\nwritten\n" : "null\n");
    CHECK(outcome.err.find("not permitted") != std::string::npos);
    CHECK(launch::RemoveCgroup(box->host, "c5").has_value());
  }
}

void RulesDevicesByProgram() {
  if (roots.empty() || !box->host.hierarchies[0].v2) return;
  box->host.device_program = launch::TryDeviceProgram(box->host.hierarchies[0].folder.get());
  CHECK(box->host.device_program.valid());
  box->host.device_control = launch::DeviceControl::kProgram;
  RulesDevices();
  box->host.device_control = launch::DeviceControl::kNone;
  box->host.device_program.reset();
}

void RulesDevicesByList() {
  if (IsCgroup2("/sys/fs/cgroup")) return;
  const size_t before = roots.size();
  AddHierarchy("/sys/fs/cgroup/devices", "devices", false);
  if (roots.size() == before) return;
  box->host.device_control = launch::DeviceControl::kList;
  RulesDevices();
  box->host.device_control = launch::DeviceControl::kNone;
  box->host.hierarchies.pop_back();
  CHECK_OK(rmdir(roots.back().c_str()));
  roots.pop_back();
}

// The same without cgroup2, which is left aside where it is one of several.
void WorksWithV1Alone() {
  if (box->host.hierarchies.size() < 2 || !box->host.hierarchies[0].v2) return;
  launch::Hierarchy v2 = std::move(box->host.hierarchies[0]);
  box->host.hierarchies.erase(box->host.hierarchies.begin());
  const std::string root = roots[0];
  roots.erase(roots.begin());
  MakesAndRemoves();
  PutsAContainerInAllOfThem();
  EndsAnExecWithoutTheContainer();
  RemovesWithAForkingCrowdInside();
  roots.insert(roots.begin(), root);
  box->host.hierarchies.insert(box->host.hierarchies.begin(), std::move(v2));
}

void All(Sandbox& sandbox) {
  if (sandbox.host.rootless) return;
  box = &sandbox;
  unique = std::to_string(getppid()) + "-" + std::to_string(time(nullptr));
  FindHierarchies();
  // A failed check leaves the groups, but not for ever.
  CHECK_EQ(
      atexit([] {
        for (const auto& root : roots) {
          (void)!system(("rmdir " + root + "/*/* " + root + "/* " + root + " 2>/dev/null").c_str());
        }
      }),
      0);
  if (roots.empty()) {
    printf("needs a writable cgroup hierarchy\n");
    exit(kSkipped);
  }
  RUN(MakesAndRemoves);
  RUN(PutsAContainerInAllOfThem);
  RUN(EndsAnExecWithoutTheContainer);
  RUN(RemovesWithAForkingCrowdInside);
  RUN(RulesDevicesByProgram);
  RUN(RulesDevicesByList);
  RUN(WorksWithV1Alone);
  sandbox.host.hierarchies.clear();
  for (const auto& root : roots) CHECK_OK(rmdir(root.c_str()));
}

}  // namespace
}  // namespace caisson::test

int main() {
  return caisson::test::InBothModes(caisson::test::All);
}
