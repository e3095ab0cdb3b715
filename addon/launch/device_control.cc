// zone: native
#include "launch/device_control.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/guard.h"
#include "launch/cgroup_files.h"
#include "launch/device_program.h"
#include "sys/bpf.h"

namespace caisson::launch {
namespace {

constexpr uint8_t kMake = static_cast<uint8_t>(protocol::DeviceAccess::kMake);
constexpr uint8_t kAll = kMake | static_cast<uint8_t>(protocol::DeviceAccess::kRead) |
                         static_cast<uint8_t>(protocol::DeviceAccess::kWrite);
constexpr uint32_t kAny = DeviceRule::kAny;

// lib/container/device-rules.ts prints the same ones; a unit test compares the two.
constexpr DeviceRule kDefaultRules[] = {
    {false, 'a', kAll, kAny, kAny}, {true, 'c', kMake, kAny, kAny},
    {true, 'b', kMake, kAny, kAny}, {true, 'c', kAll, 1, 3},  // null
    {true, 'c', kAll, 1, 5},                                  // zero
    {true, 'c', kAll, 1, 7},                                  // full
    {true, 'c', kAll, 1, 8},                                  // random
    {true, 'c', kAll, 1, 9},                                  // urandom
    {true, 'c', kAll, 5, 0},                                  // tty
    {true, 'c', kAll, 5, 1},                                  // console
    {true, 'c', kAll, 5, 2},                                  // ptmx
    {true, 'c', kAll, 136, kAny},                             // pts
};

std::string NumberOf(uint32_t number) {
  return number == kAny ? "*" : std::to_string(number);
}

// A rule as devices.allow and devices.deny take it. For all devices: "a", which empties the list.
std::string LineOf(const DeviceRule& rule) {
  if (rule.kind == 'a' && rule.major == kAny && rule.minor == kAny && rule.access == kAll) {
    return "a";
  }
  std::string line{rule.kind};
  line += ' ' + NumberOf(rule.major) + ':' + NumberOf(rule.minor) + ' ';
  for (const auto& [bit, letter] : {std::pair{2, 'r'}, std::pair{4, 'w'}, std::pair{1, 'm'}}) {
    if ((rule.access & bit) != 0) line += letter;
  }
  return line;
}

Result<> WriteList(int folder, List<DeviceRule> rules) {
  uint32_t index = 0;
  for (const DeviceRule& rule : rules) {
    const char* file = rule.allow ? "devices.allow" : "devices.deny";
    if (const int error = WriteGroupFile(folder, file, LineOf(rule)); error != 0) {
      return Fail(Step::kCgroupDevices, error, index);
    }
    ++index;
  }
  return {};
}

// Remove when kernel 5.11 is the floor: programs were charged to this limit, which is small.
class MemlockRaised {
 public:
  MemlockRaised() {
    (void)getrlimit(RLIMIT_MEMLOCK, &before_);
    const rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    (void)setrlimit(RLIMIT_MEMLOCK, &none);
  }
  MemlockRaised(const MemlockRaised&) = delete;
  MemlockRaised& operator=(const MemlockRaised&) = delete;
  ~MemlockRaised() { (void)setrlimit(RLIMIT_MEMLOCK, &before_); }

 private:
  rlimit before_ = {};
};

Result<UniqueFd> Load(List<DeviceRule> rules) {
  const auto program = CompileDeviceRules(rules);
  UniqueFd fd(sys::LoadDeviceProgram(program.data(), program.size()));
  if (!fd && errno == EPERM) {
    const MemlockRaised raised;
    fd.reset(sys::LoadDeviceProgram(program.data(), program.size()));
  }
  if (!fd) return FailErrno(Step::kCgroupDevices);
  return fd;
}

Result<> AttachProgram(int folder, int program) {
  if (sys::AttachDeviceProgram(folder, program) != 0) return FailErrno(Step::kCgroupDevices);
  return {};
}

Result<> AttachRules(int folder, List<DeviceRule> rules) {
  const auto program = Load(rules);
  if (!program) return std::unexpected(program.error());
  return AttachProgram(folder, program->get());
}

}  // namespace

List<DeviceRule> DefaultDeviceRules() noexcept {
  return {kDefaultRules, sizeof kDefaultRules / sizeof kDefaultRules[0]};
}

Result<> ControlDevices(const Host& host, List<DeviceRule> rules, const Cgroup& cgroup) {
  if (host.device_control == DeviceControl::kNone || !CAISSON_GUARD(kDeviceRules)) return {};
  const bool list = host.device_control == DeviceControl::kList;
  for (size_t i = 0; i < cgroup.folders.size(); ++i) {
    const Hierarchy& hierarchy = host.hierarchies[i];
    const bool here = list ? !hierarchy.v2 && hierarchy.name == "devices" : hierarchy.v2;
    if (!here || !cgroup.folders[i]) continue;
    const int folder = cgroup.folders[i].get();
    if (list) return WriteList(folder, rules.count == 0 ? DefaultDeviceRules() : rules);
    return rules.count == 0 ? AttachProgram(folder, host.device_program.get())
                            : AttachRules(folder, rules);
  }
  return {};
}

UniqueFd TryDeviceProgram(int folder) {
  auto program = Load(DefaultDeviceRules());
  if (!program || sys::AttachDeviceProgram(folder, program->get()) != 0 ||
      sys::DetachDeviceProgram(folder, program->get()) != 0) {
    return {};
  }
  return std::move(*program);
}

}  // namespace caisson::launch
