// zone: test
// libFuzzer target: the parser of the launch plan reads nothing outside of the body, and what it
// accepts holds what plan/launch_plan.h promises. Seeds: corpus/ (make_corpus.py).
//
//   test/native/run.sh fuzz [SECONDS]
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "plan/parse.h"

namespace {

using namespace caisson;

void Require(bool condition) {
  if (!condition) abort();
}

void Absolute(const char* path) {
  Require(path != nullptr && path[0] == '/');
}

void Relative(const char* path) {
  Require(path != nullptr && path[0] != '/' && path[0] != '\0' && strstr(path, "//") == nullptr);
  Require(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 &&
          strstr(path, "/../") == nullptr);
}

void Check(const ProcessPlan& process) {
  Require(process.argv != nullptr && process.argv[0] != nullptr && process.argv[0][0] != '\0');
  for (const char* const* arg = process.argv; *arg != nullptr; ++arg) (void)strlen(*arg);
  for (uint32_t i = 0; i < process.envc; ++i) Require(strchr(process.envp[i], '=') != nullptr);
  Require(process.envp[process.envc] == nullptr && process.envp[process.envc + 1] == nullptr);
  Absolute(process.cwd);
  for (const char* candidate : process.exec_candidates) Require(candidate[0] != '\0');
  for (const char* group : process.add_groups) Require(group[0] != '\0');
  for (const RlimitItem& item : process.rlimits) Require(item.soft <= item.hard && item.kind >= 0);
  Require(process.seccomp.count <= 4096);
}

void Check(const BundlePlan& bundle) {
  Absolute(bundle.rootfs);
  if (bundle.cgroups_path != nullptr) Relative(bundle.cgroups_path);
  (void)strlen(bundle.hook_state);
  for (const HookItem& hook : bundle.hooks) {
    Absolute(hook.path);
    Require(hook.argv[0] != nullptr);
    for (const char* const* arg = hook.argv; *arg != nullptr; ++arg) (void)strlen(*arg);
    for (const char* const* env = hook.envp; *env != nullptr; ++env) (void)strlen(*env);
  }
  for (const NamespaceItem& item : bundle.namespaces) Absolute(item.path);
}

void Check(const LaunchPlan& plan) {
  Check(plan.process);
  Require(plan.layers.count <= kMaxLayers);
  for (const char* layer : plan.layers) Relative(layer);
  if (plan.folder != nullptr) Relative(plan.folder);
  if (plan.log.path != nullptr) Relative(plan.log.path);
  for (const MountItem& mount : plan.mounts) {
    Absolute(mount.target);
    if (mount.source != nullptr) Absolute(mount.source);
    if (mount.scratch != nullptr) Relative(mount.scratch);
    for (const char* option : mount.data) Require(strlen(option) <= 255);
  }
  for (const FileItem& file : plan.files) Absolute(file.path);
  for (const char* path : plan.masked_paths) Absolute(path);
  for (const char* path : plan.read_only_paths) Absolute(path);
  for (const SysctlItem& item : plan.sysctls) {
    Require(item.value != nullptr && strstr(item.key, "..") == nullptr);
  }
  for (const DeviceItem& device : plan.devices) Absolute(device.path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes body(data, size);
  {
    Arena arena(ParseArenaBytes(size));
    const auto plan = ParseLaunch(body, arena);
    if (plan) Check(**plan);
    if (plan) Require((*plan)->layers.count > 0 && (*plan)->bundle.hooks.count == 0);
    // The size that parse.h promises is enough.
    if (!plan) Require(plan.error().step == Step::kParse);
  }
  {
    Arena arena(ParseArenaBytes(size));
    const auto plan = ParseExec(body, arena);
    if (plan) Check((*plan)->process);
    if (!plan) Require(plan.error().step == Step::kParse);
  }
  {
    Arena arena(ParseArenaBytes(size));
    const auto plan = ParseBundle(body, arena);
    if (plan) Check(**plan);
    if (plan) Check((*plan)->bundle);
    if (!plan) Require(plan.error().step == Step::kParse);
  }
  {
    Arena small(4096);
    (void)ParseLaunch(body, small);
  }
  return 0;
}
