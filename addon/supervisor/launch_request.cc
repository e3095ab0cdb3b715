// zone: native
#include "supervisor/launch_request.h"

#include <linux/capability.h>
#include <sched.h>

#include "plan/parse.h"
#include "plan/parse_limits.h"
#include "supervisor/options.h"

namespace caisson {

using protocol::StdioKind;
using protocol::Tag;

namespace {

constexpr uint64_t kDefaultNamespaces =
    CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;

// Names that are no file of a cgroup folder ("tasks", "pids.max"), and none of our own.
bool IsGroupName(std::string_view name) {
  if (name.empty() || name.size() > 128 || name.starts_with("slot-") || name == "tasks" ||
      name == "notify_on_release" || name == "release_agent") {
    return false;
  }
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
    if (!good) return false;
  }
  return true;
}

constexpr size_t kMostParentBytes = 1024;

// Files of cgroups are called after what they belong to; v1 has three that are not.
constexpr std::string_view kFilePrefixes[] = {
    "cgroup.", "memory.",     "cpu.",     "cpuacct.",  "cpuset.",  "io.",
    "blkio.",  "pids.",       "hugetlb.", "devices.",  "freezer.", "rdma.",
    "misc.",   "perf_event.", "net_cls.", "net_prio.", "irq.",     "dmem.",
};
constexpr std::string_view kFiles[] = {"tasks", "notify_on_release", "release_agent"};

bool IsGroupFile(std::string_view name) {
  for (const std::string_view prefix : kFilePrefixes) {
    if (name.starts_with(prefix)) return true;
  }
  for (const std::string_view file : kFiles) {
    if (name == file) return true;
  }
  return false;
}

// Absolute and plain, and no part of it names a file that cgroups have.
bool IsGroupParent(std::string_view path) {
  if (path.size() < 2 || path.size() > kMostParentBytes || path.front() != '/') return false;
  path.remove_prefix(1);
  for (;;) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!IsPlainName(name) || IsGroupFile(name)) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

// One pass over the fields, with the first thing that is wrong.
class Walk {
 public:
  explicit Walk(Bytes body) : reader_(body) {}

  [[nodiscard]] bool Next() {
    if (failed_ || !reader_.Next(&field_)) return false;
    tag_ = static_cast<Tag>(field_.tag);
    return true;
  }
  [[nodiscard]] Tag tag() const { return tag_; }
  [[nodiscard]] Bytes payload() const { return field_.payload; }

  uint64_t Number(uint64_t most = UINT64_MAX) {
    uint64_t value = 0;
    if (!field_.ReadU64(&value) || value > most) Refuse(EINVAL);
    return value;
  }
  std::string Text() {
    std::string_view text;
    if (!field_.ReadString(&text)) Refuse(EINVAL);
    return std::string(text);
  }
  std::string StorePath() {
    std::string path = Text();
    if (!IsStorePath(path)) Refuse(EINVAL);
    return path;
  }
  void Stdio(StdioKind* kind) {
    const uint64_t value = Number(static_cast<uint64_t>(StdioKind::kLog));
    *kind = static_cast<StdioKind>(value);
  }
  void Refuse(int error) {
    if (failed_) return;
    failed_ = true;
    failure_ = {Step::kParse, 0, error, field_.tag};
  }
  [[nodiscard]] Result<> End() const {
    if (failed_) return std::unexpected(failure_);
    if (!reader_.ok()) return Fail(Step::kParse, EBADMSG);
    return {};
  }

 private:
  FieldReader reader_;
  Field field_;
  Tag tag_ = {};
  bool failed_ = false;
  Failure failure_;
};

size_t Descriptors(const StdioKind stdio[3]) {
  size_t count = 0;
  for (int i = 0; i < 3; ++i) count += stdio[i] == StdioKind::kDescriptor ? 1 : 0;
  return count;
}

bool NeedsSource(Bytes mount) {
  Walk walk(mount);
  uint64_t kind = 0;
  while (walk.Next()) {
    if (walk.tag() == Tag::kMountKind) kind = walk.Number();
  }
  using protocol::MountKind;
  return kind == static_cast<uint64_t>(MountKind::kBind) ||
         kind == static_cast<uint64_t>(MountKind::kOverlay);
}

void ReadLog(Bytes group, LaunchRequest* request, Walk* outer) {
  Walk walk(group);
  while (walk.Next()) {
    switch (walk.tag()) {
      case Tag::kLogPath:
        request->log_path = walk.StorePath();
        break;
      case Tag::kLogMaxBytes:
        request->log_max_bytes = walk.Number();
        break;
      case Tag::kLogFiles:
        request->log_files = static_cast<uint32_t>(walk.Number(1000));
        break;
      default:
        walk.Refuse(EINVAL);
    }
  }
  if (!walk.End() || request->log_path.find('/') == std::string::npos) outer->Refuse(EINVAL);
}

// What Launch and Exec say alike of rights.
class Rights {
 public:
  // False: `walk` is at something else.
  bool Read(Walk* walk) {
    if (walk->tag() == Tag::kCapBounding) {
      bounding_ = walk->Number();
    } else if (walk->tag() == Tag::kSeccomp) {
      Walk filter(walk->payload());
      while (filter.Next()) {
        if (filter.tag() == Tag::kSeccompPolicy) policy_ = filter.Number();
      }
    } else {
      return false;
    }
    return true;
  }
  [[nodiscard]] bool own_filter() const { return policy_ == kProfile; }
  // Only our own filters are known to forbid mounts and user namespaces to who has not the
  // capability.
  [[nodiscard]] bool may_mount() const {
    return own_filter() || policy_ == kNoFilter || (bounding_ >> CAP_SYS_ADMIN & 1) != 0;
  }

 private:
  static constexpr uint64_t kProfile = static_cast<uint64_t>(protocol::SeccompPolicy::kProfile);
  static constexpr uint64_t kNoFilter = ~uint64_t{0};
  uint64_t bounding_ = 0;
  uint64_t policy_ = kNoFilter;
};

void ReadShared(Walk* walk, LaunchRequest* request) {
  for (size_t i = 0; i < kSharedKinds; ++i) {
    if (walk->tag() != kSharedNamespaces[i].tag) continue;
    request->shared[i] = static_cast<uint32_t>(walk->Number(UINT32_MAX));
  }
}

}  // namespace

Result<LaunchRequest> ReadLaunchRequest(Bytes body, size_t fds) {
  LaunchRequest request;
  request.namespaces = kDefaultNamespaces;
  Rights rights;
  Walk walk(body);
  while (walk.Next()) {
    switch (walk.tag()) {
      case Tag::kFolderContainer:
        request.folder = walk.StorePath();
        break;
      case Tag::kLayer:
        request.layers.push_back(walk.StorePath());
        if (request.layers.size() > kMaxLayers) walk.Refuse(E2BIG);
        break;
      case Tag::kCgroupName:
        request.group = walk.Text();
        if (!IsGroupName(request.group)) walk.Refuse(EINVAL);
        break;
      case Tag::kCgroupParent:
        request.group_parent = walk.Text();
        if (!IsGroupParent(request.group_parent)) walk.Refuse(EINVAL);
        break;
      case Tag::kWantStarted:
        request.want_started = walk.Number(1) != 0;
        break;
      case Tag::kMountLabel:
        request.labelled = true;
        break;
      case Tag::kInit:
        request.init = walk.Number(1) != 0;
        break;
      case Tag::kTerminal:
        request.terminal = walk.Number(1) != 0;
        break;
      case Tag::kTimeoutMs:
        request.timeout_ms = walk.Number();
        break;
      case Tag::kNamespaces:
        request.namespaces = walk.Number();
        break;
      case Tag::kLogFile:
        ReadLog(walk.payload(), &request, &walk);
        break;
      case Tag::kMount:
        if (NeedsSource(walk.payload())) ++request.sources;
        if (request.sources > kMaxMounts) walk.Refuse(E2BIG);
        break;
      case Tag::kLimits:
        request.controls = plan::ControlsOf(walk.payload());
        request.limits.assign(reinterpret_cast<const char*>(walk.payload().data()),
                              walk.payload().size());
        break;
      case Tag::kUidMap:
        request.user_namespace = true;
        break;
      case Tag::kDeviceRule:
        request.own_device_rules = true;
        break;
      case Tag::kWarmPool:
        request.warm = walk.Number(1) != 0;
        break;
      case Tag::kStdin:
        walk.Stdio(&request.stdio[0]);
        if (request.stdio[0] == StdioKind::kLog) walk.Refuse(EINVAL);
        break;
      case Tag::kStdout:
        walk.Stdio(&request.stdio[1]);
        break;
      case Tag::kStderr:
        walk.Stdio(&request.stdio[2]);
        break;
      default:
        if (!rights.Read(&walk)) ReadShared(&walk, &request);
        break;
    }
  }
  if (auto end = walk.End(); !end) return std::unexpected(end.error());
  request.own_filter = rights.own_filter();
  request.may_mount = rights.may_mount();
  if (!request.group.empty() && !request.group_parent.empty()) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(Tag::kCgroupParent));
  }
  const bool logs = request.stdio[1] == StdioKind::kLog || request.stdio[2] == StdioKind::kLog;
  if (logs && request.log_path.empty()) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(Tag::kLogFile));
  }
  // Its master comes with Started.
  if (request.terminal && !request.want_started) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(Tag::kTerminal));
  }
  if (Descriptors(request.stdio) != fds) return Fail(Step::kProtocol, EBADF);
  return request;
}

Result<ExecRequest> ReadExecRequest(Bytes body, size_t fds) {
  ExecRequest request;
  Rights rights;
  Walk walk(body);
  StdioKind* kinds = request.stdio;
  while (walk.Next()) {
    switch (walk.tag()) {
      case Tag::kContainer:
        request.container = static_cast<uint32_t>(walk.Number(UINT32_MAX));
        break;
      case Tag::kWantStarted:
        request.want_started = walk.Number(1) != 0;
        break;
      case Tag::kTerminal:
        request.terminal = walk.Number(1) != 0;
        break;
      case Tag::kTimeoutMs:
        request.timeout_ms = walk.Number();
        break;
      case Tag::kStdin:
      case Tag::kStdout:
      case Tag::kStderr: {
        StdioKind* kind = &kinds[static_cast<int>(walk.tag()) - static_cast<int>(Tag::kStdin)];
        walk.Stdio(kind);
        if (*kind == StdioKind::kLog) walk.Refuse(EINVAL);
        break;
      }
      default:
        (void)rights.Read(&walk);
        break;
    }
  }
  if (auto end = walk.End(); !end) return std::unexpected(end.error());
  request.own_filter = rights.own_filter();
  request.may_mount = rights.may_mount();
  // Its master comes with Started.
  if (request.terminal && !request.want_started) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(Tag::kTerminal));
  }
  if (Descriptors(request.stdio) != fds) return Fail(Step::kProtocol, EBADF);
  return request;
}

namespace {

// The payload of item `index` among the fields with `tag`.
Bytes Item(Bytes body, Tag tag, uint32_t index) {
  FieldReader reader(body);
  for (Field field; reader.Next(&field);) {
    if (field.tag == static_cast<uint16_t>(tag) && index-- == 0) return field.payload;
  }
  return {};
}

std::string ItemText(Bytes body, Tag tag, uint32_t index = 0) {
  const Bytes item = Item(body, tag, index);
  return {reinterpret_cast<const char*>(item.data()), item.size()};
}

std::string MountText(Bytes body, const Failure& failure) {
  const Bytes mount = Item(body, Tag::kMount, failure.index);
  const std::string target = ItemText(mount, Tag::kMountTarget);
  const std::string source = ItemText(mount, Tag::kMountSource);
  if (failure.step == Step::kBindSource && !source.empty()) return source;
  return source.empty() ? target : target + " (" + source + ")";
}

}  // namespace

std::string DetailOf(const Failure& failure, Bytes body) {
  switch (failure.step) {
    case Step::kBindSource:
    case Step::kMountTarget:
    case Step::kMount:
      return MountText(body, failure);
    case Step::kFiles:
      return ItemText(Item(body, Tag::kFile, failure.index), Tag::kFilePath);
    case Step::kMaskedPath:
      return ItemText(body, Tag::kMaskedPath, failure.index);
    case Step::kReadOnlyPath:
      return ItemText(body, Tag::kReadOnlyPath, failure.index);
    case Step::kSysctl:
      return ItemText(Item(body, Tag::kSysctl, failure.index), Tag::kKey);
    case Step::kDevices:
      return ItemText(Item(body, Tag::kDevice, failure.index), Tag::kDevicePath);
    case Step::kUser:
      return ItemText(body, Tag::kUser);
    case Step::kGroups:
      return ItemText(body, Tag::kAddGroup, failure.index);
    case Step::kWorkdir:
      return ItemText(body, Tag::kCwd);
    case Step::kHostname:
      return ItemText(body, Tag::kHostname);
    case Step::kFindExecutable:
    case Step::kExec:
      return ItemText(body, Tag::kArg);
    case Step::kLog:
      return ItemText(Item(body, Tag::kLogFile, 0), Tag::kLogPath);
    case Step::kScratchFolder:
    case Step::kOverlay:
      return ItemText(body, Tag::kFolderContainer);
    default:
      return {};
  }
}

}  // namespace caisson
