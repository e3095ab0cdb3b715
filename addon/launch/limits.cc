// zone: native
#include <errno.h>
#include <stdlib.h>

#include <string>
#include <string_view>

#include "launch/cgroup_files.h"
#include "launch/launch.h"

namespace caisson::launch {
namespace {

using protocol::Control;
using protocol::Tag;

std::unexpected<Failure> Refused(Tag tag, int error) {
  return Fail(Step::kCgroupLimit, error, static_cast<uint32_t>(tag));
}

// The group that controls `control`, and in which way.
struct Place {
  int folder = -1;
  bool v2 = false;
};

Place PlaceOf(const Host& host, const Cgroup& cgroup, Control control) {
  for (size_t i = 0; i < cgroup.folders.size(); ++i) {
    const Hierarchy& hierarchy = host.hierarchies[i];
    if ((hierarchy.controls & Bit(control)) != 0 && cgroup.folders[i]) {
      return {cgroup.folders[i].get(), hierarchy.v2};
    }
  }
  return {};
}

// One limit after the other into the files of one controller, until one is refused.
class Writer {
 public:
  Writer(const Host& host, const Cgroup& cgroup, Control control)
      : place_(PlaceOf(host, cgroup, control)) {}

  [[nodiscard]] bool v2() const { return place_.v2; }

  void Write(Tag tag, const char* file, std::string_view text) {
    if (!result_) return;
    // Nobody asks for what is not controlled; if they do, it is not silently left out.
    const int error = place_.folder < 0 ? ENODEV : WriteGroupFile(place_.folder, file, text);
    if (error != 0) result_ = Refused(tag, error);
  }
  // What the first does not take goes to the second.
  void WriteEither(Tag tag, const char* first, const char* second, std::string_view text) {
    if (!result_ || place_.folder < 0 || WriteGroupFile(place_.folder, first, text) != 0) {
      Write(tag, second, text);
    }
  }
  void Number(Tag tag, const char* file_v1, const char* file_v2, Limit limit) {
    if (!limit.asked()) return;
    const char* unlimited = place_.v2 ? "max" : "-1";
    Write(tag, place_.v2 ? file_v2 : file_v1,
          limit.unlimited() ? unlimited : std::to_string(limit.value));
  }
  void Text(Tag tag, const char* file, const char* text) {
    if (text != nullptr) Write(tag, file, text);
  }
  [[nodiscard]] bool Has(const char* file) const { return HasGroupFile(place_.folder, file); }
  [[nodiscard]] Result<> result() const { return result_; }

 private:
  Place place_;
  Result<> result_;
};

// v1 counts memory and swap together and wants them never below memory alone: in a fresh group,
// where both are unlimited, memory comes first. v2 counts swap by itself.
Result<> LimitMemory(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  Writer out(host, cgroup, Control::kMemory);
  out.Number(Tag::kMemoryLimit, "memory.limit_in_bytes", "memory.max", limits.memory);
  Limit swap = limits.memory_swap;
  if (out.v2() && swap.asked() && !swap.unlimited()) swap.value -= limits.memory.value;
  out.Number(Tag::kMemorySwap, "memory.memsw.limit_in_bytes", "memory.swap.max", swap);
  out.Number(Tag::kMemoryReservation, "memory.soft_limit_in_bytes", "memory.low",
             limits.memory_reservation);
  return out.result();
}

Result<> LimitCpu(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  Writer out(host, cgroup, Control::kCpu);
  out.Number(Tag::kCpuShares, "cpu.shares", "cpu.weight",
             out.v2() ? limits.cpu_weight : limits.cpu_shares);
  if (!limits.cpu_quota.asked()) return out.result();
  const std::string quota = std::to_string(limits.cpu_quota.value);
  const std::string period = std::to_string(limits.cpu_period.value);
  if (out.v2()) {
    out.Write(Tag::kCpuQuota, "cpu.max", quota + ' ' + period);
  } else {
    // In this order nothing is above its parent at any moment: a fresh group has no quota.
    out.Write(Tag::kCpuPeriod, "cpu.cfs_period_us", period);
    out.Write(Tag::kCpuQuota, "cpu.cfs_quota_us", quota);
  }
  return out.result();
}

std::string DeviceOf(const IoLimits& io) {
  return std::to_string(io.major) + ':' + std::to_string(io.minor) + ' ';
}

// The one limit of a v1 file.
void Throttle(Writer& out, const IoLimits& io, const char* file, Limit limit) {
  if (!limit.asked()) return;
  out.Write(Tag::kIoDevice, file, DeviceOf(io) + std::to_string(limit.value));
}

void ThrottleV2(Writer& out, const IoLimits& io) {
  std::string line = DeviceOf(io);
  const size_t bare = line.size();
  const auto add = [&](const char* key, Limit limit) {
    if (limit.asked()) line += std::string(key) + '=' + std::to_string(limit.value) + ' ';
  };
  add("rbps", io.read_bytes);
  add("wbps", io.write_bytes);
  add("riops", io.read_requests);
  add("wiops", io.write_requests);
  if (line.size() != bare) out.Write(Tag::kIoDevice, "io.max", line);
}

// By whatever weighs this disk: a file may be there for the sake of another one. All of them count
// from the same 100, so that a weight is the same everywhere.
void Weigh(Writer& out, const IoLimits& io) {
  if (!io.weight.asked()) return;
  out.WriteEither(Tag::kIoWeight, out.v2() ? "io.weight" : "blkio.weight_device",
                  out.v2() ? "io.bfq.weight" : "blkio.bfq.weight_device",
                  DeviceOf(io) + std::to_string(io.weight.value));
}

Result<> LimitIo(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  Writer out(host, cgroup, Control::kIo);
  for (const IoLimits& io : limits.io) {
    Weigh(out, io);
    if (out.v2()) {
      ThrottleV2(out, io);
      continue;
    }
    Throttle(out, io, "blkio.throttle.read_bps_device", io.read_bytes);
    Throttle(out, io, "blkio.throttle.write_bps_device", io.write_bytes);
    Throttle(out, io, "blkio.throttle.read_iops_device", io.read_requests);
    Throttle(out, io, "blkio.throttle.write_iops_device", io.write_requests);
  }
  return out.result();
}

// Pages that are reserved and pages that are used, where the kernel tells the two apart (5.7).
Result<> LimitHugepages(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  Writer out(host, cgroup, Control::kHugepages);
  for (const HugepageLimit& pages : limits.hugepages) {
    const std::string base = std::string("hugetlb.") + pages.size;
    const char* tail = out.v2() ? ".max" : ".limit_in_bytes";
    const std::string bytes = std::to_string(pages.bytes);
    out.Write(Tag::kHugepage, (base + tail).c_str(), bytes);
    const std::string reserved = base + ".rsvd" + tail;
    if (out.Has(reserved.c_str())) out.Write(Tag::kHugepage, reserved.c_str(), bytes);
  }
  return out.result();
}

Result<> LimitCpuset(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  Writer out(host, cgroup, Control::kCpuset);
  out.Text(Tag::kCpusetCpus, "cpuset.cpus", limits.cpuset_cpus);
  out.Text(Tag::kCpusetMems, "cpuset.mems", limits.cpuset_mems);
  return out.result();
}

Result<> LimitPids(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  Writer out(host, cgroup, Control::kPids);
  if (limits.pids.unlimited()) {
    out.Write(Tag::kPidsLimit, "pids.max", "max");
  } else {
    out.Number(Tag::kPidsLimit, "pids.max", "pids.max", limits.pids);
  }
  return out.result();
}

}  // namespace

Result<> LimitCgroup(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  const auto asked = [&](Control control) { return (limits.controls & Bit(control)) != 0; };
  Result<> ok;
  if (asked(Control::kMemory) || asked(Control::kSwap)) ok = LimitMemory(host, limits, cgroup);
  if (ok && asked(Control::kCpu)) ok = LimitCpu(host, limits, cgroup);
  if (ok && asked(Control::kCpuset)) ok = LimitCpuset(host, limits, cgroup);
  if (ok && asked(Control::kPids)) ok = LimitPids(host, limits, cgroup);
  if (ok && asked(Control::kIo)) ok = LimitIo(host, limits, cgroup);
  if (ok && asked(Control::kHugepages)) ok = LimitHugepages(host, limits, cgroup);
  return ok;
}

// The kernel takes processors and nodes that go offline out of v1 cpusets and does not put them
// back (hotplug_update_tasks_legacy in kernel/cgroup). Nothing else changes by itself.
Result<> LimitCgroupAgain(const Host& host, const LimitsPlan& limits, const Cgroup& cgroup) {
  if ((limits.controls & Bit(Control::kCpuset)) == 0) return {};
  return LimitCpuset(host, limits, cgroup);
}

}  // namespace caisson::launch
