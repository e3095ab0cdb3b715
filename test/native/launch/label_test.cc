// zone: test
// What is written to which file of /proc/self/attr, in folders that look like kernels with AppArmor
// alone, with AppArmor as one of several modules, with SELinux, and with none. No privileges.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/unique_fd.h"
#include "child/steps.h"
#include "launch/check.h"
#include "sys/mount.h"

namespace caisson::test {
namespace {

std::string folder;

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(folder + path).rdbuf();
  return text.str();
}

int Run(child::StepFunction step, const ProcessPlan& process) {
  const UniqueFd proc(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  child::Context context;
  context.process = &process;
  context.proc = proc.get();
  const int error = step(context);
  if (error != 0) CHECK_EQ(context.index, process.selinux != nullptr ? 1U : 0U);
  return error;
}

int SetLabel(const char* text) {
  ProcessPlan process;
  process.apparmor = text;
  return Run(child::SetLabel, process);
}

void DoesNothingUnasked() {
  CHECK_EQ(SetLabel(nullptr), 0);
}

void SaysThatThereIsNone() {
  CHECK_EQ(SetLabel("exec name"), ENOENT);
}

void WritesTheOldFile() {
  CHECK_OK(mkdir((folder + "/self/attr").c_str(), 0755));
  std::ofstream(folder + "/self/attr/exec");
  CHECK_EQ(SetLabel("exec name"), 0);
  CHECK_EQ(Read("/self/attr/exec"), "exec name");
}

// There the old file is another module's.
void PrefersItsOwnFile() {
  std::ofstream(folder + "/self/attr/exec", std::ios::trunc);
  CHECK_OK(mkdir((folder + "/self/attr/apparmor").c_str(), 0755));
  std::ofstream(folder + "/self/attr/apparmor/exec");
  CHECK_EQ(SetLabel("exec name"), 0);
  CHECK_EQ(Read("/self/attr/apparmor/exec"), "exec name");
  CHECK_EQ(Read("/self/attr/exec"), "");
}

void FollowsNoLink() {
  CHECK_OK(unlink((folder + "/self/attr/apparmor/exec").c_str()));
  CHECK_OK(symlink("../exec", (folder + "/self/attr/apparmor/exec").c_str()));
  CHECK_EQ(SetLabel("exec name"), ELOOP);
}

constexpr char kLabel[] = "system_u:system_r:container_t:s0:c1,c2";

void LabelsForSelinux() {
  ProcessPlan process;
  process.selinux = kLabel;
  std::ofstream(folder + "/self/attr/exec", std::ios::trunc);
  CHECK_EQ(Run(child::SetLabel, process), 0);
  CHECK_EQ(Read("/self/attr/exec"), kLabel);
  CHECK_EQ(Run(child::LabelKeys, ProcessPlan()), 0);
  CHECK_EQ(Run(child::LabelKeys, process), ENOENT);
  std::ofstream(folder + "/self/attr/keycreate");
  CHECK_EQ(Run(child::LabelKeys, process), 0);
  CHECK_EQ(Read("/self/attr/keycreate"), kLabel);
  CHECK_OK(unlink((folder + "/self/attr/exec").c_str()));
  CHECK_OK(symlink("keycreate", (folder + "/self/attr/exec").c_str()));
  CHECK_EQ(Run(child::SetLabel, process), ELOOP);
}

// In a mount namespace that ends with this program.
void WritesToNothingMountedThere() {
  CHECK_OK(unlink((folder + "/self/attr/apparmor/exec").c_str()));
  std::ofstream(folder + "/self/attr/apparmor/exec");
  if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    printf("skipped: needs root, or user namespaces\n");
    return;
  }
  CHECK_OK(sys::Mount("", "/", "", MS_REC | MS_PRIVATE, ""));
  std::ofstream(folder + "/volume");
  const std::string file = folder + "/self/attr/apparmor/exec";
  CHECK_OK(sys::Mount((folder + "/volume").c_str(), file.c_str(), "", MS_BIND, ""));
  CHECK_EQ(SetLabel("exec name"), EXDEV);
  CHECK_EQ(Read("/volume"), "");
  CHECK_OK(sys::Unmount(file.c_str(), 0));
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  char name[] = "/tmp/caisson-label-XXXXXX";
  CHECK(mkdtemp(name) != nullptr);
  folder = name;
  CHECK_OK(mkdir((folder + "/self").c_str(), 0755));
  RUN(DoesNothingUnasked);
  RUN(SaysThatThereIsNone);
  RUN(WritesTheOldFile);
  RUN(PrefersItsOwnFile);
  RUN(FollowsNoLink);
  RUN(LabelsForSelinux);
  RUN(WritesToNothingMountedThere);
  return system(("rm -rf " + folder).c_str());
}
