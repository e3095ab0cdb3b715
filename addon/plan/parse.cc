// zone: native
#include "plan/parse.h"

#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "init/init.h"
#include "plan/parse_limits.h"
#include "plan/parse_process.h"
#include "plan/parse_time.h"
#include "plan/shared_namespaces.h"

namespace caisson {
namespace {

using plan::EachField;
using plan::ListBuilder;
using plan::ReadAbsolutePath;
using plan::ReadFlag;
using plan::ReadName;
using plan::ReadNumber;
using plan::ReadPathInside;
using plan::ReadStorePath;
using plan::ReadText;
using plan::Refuse;
using plan::SeenTags;
using plan::Store;
using plan::TagCounts;
using protocol::HookPoint;
using protocol::MountKind;
using protocol::Tag;

constexpr uint64_t kAllNamespaces =
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
// Without its own mount namespace a container's mounts would be the supervisor's. Of a bundle
// nobody knows more than its process 1, with which all must end; in whose pid namespace another
// container may be, its supervisor decides.
constexpr uint64_t kNeededNamespaces = CLONE_NEWNS;
constexpr uint64_t kNeededOfBundles = CLONE_NEWNS | CLONE_NEWPID;
constexpr uint64_t kMountAttrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                 MOUNT_ATTR_NOEXEC | MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME |
                                 MOUNT_ATTR_NOSYMFOLLOW;
constexpr uint64_t kMaxTimeoutMs = uint64_t{1} << 53;
constexpr uint64_t kMaxId = 0xfffffffe;  // 2^32-1 means "no change" to the kernel
constexpr size_t kMaxMountOption = 255;  // fsconfig(2) takes no longer string
constexpr size_t kMaxHostname = 64;
constexpr size_t kMaxSysctl = 255;
constexpr size_t kMaxHookString = 128 * 1024 - 1;  // MAX_ARG_STRLEN of execve(2)
constexpr size_t kMaxHookState = 32 * 1024;        // it is written to a pipe before anybody reads
constexpr uint32_t kMaxTimeOffsets = 2;            // one a clock

Result<uint64_t> ReadPropagation(const Field& field) noexcept {
  const auto value = ReadNumber(field, 0, UINT32_MAX);
  if (!value) return value;
  if (*value != 0 && *value != MS_PRIVATE && *value != MS_SLAVE && *value != MS_SHARED) {
    return Refuse(field.tag);
  }
  return value;
}

Result<MountItem> ParseMount(const Field& group, Arena& arena) noexcept {
  MountItem item;
  SeenTags seen;
  TagCounts counts;
  ListBuilder<const char*> data;
  if (const auto counted = counts.Count(group.payload, group.tag); !counted) {
    return std::unexpected(counted.error());
  }
  if (counts.of(Tag::kMountData) > kMaxMounts) return Refuse(Tag::kMountData, E2BIG);
  if (!data.Reserve(arena, counts.of(Tag::kMountData))) return plan::NoRoom();

  const auto read = EachField(
      group, seen, Tag::kMountData, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kMountKind:
            return Store(ReadNumber(field, 1, static_cast<uint64_t>(MountKind::kShm)), &item.kind);
          case Tag::kMountTarget:
            return Store(ReadPathInside(field, arena), &item.target);
          case Tag::kMountSource:
            return Store(ReadAbsolutePath(field, arena), &item.source);
          case Tag::kMountScratch:
            return Store(ReadStorePath(field, arena), &item.scratch);
          case Tag::kMountAttr:
            if (const auto value = ReadNumber(field, 0, UINT64_MAX);
                !value || (*value & ~kMountAttrs) != 0) {
              return Refuse(field.tag);
            } else {
              item.attr = *value;
            }
            return {};
          case Tag::kMountPropagation:
            return Store(ReadPropagation(field), &item.propagation);
          case Tag::kMountRecursive:
            return Store(ReadFlag(field), &item.recursive);
          case Tag::kMountAttrRecursive:
            return Store(ReadFlag(field), &item.attr_recursive);
          case Tag::kMountIdMapped:
            return Store(ReadFlag(field), &item.id_mapped);
          case Tag::kMountData: {
            const char* option = nullptr;
            const auto stored = Store(ReadText(field, arena, kMaxMountOption), &option);
            if (!stored) return stored;
            if (*option == '\0' || *option == '=' || !data.Add(option)) return Refuse(field.tag);
            return {};
          }
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return std::unexpected(read.error());

  const bool from_host = item.kind == MountKind::kBind || item.kind == MountKind::kOverlay;
  if (!seen.Has(Tag::kMountKind)) return Refuse(Tag::kMountKind);
  if (!seen.Has(Tag::kMountTarget)) return Refuse(Tag::kMountTarget);
  if (from_host && item.source == nullptr) return Refuse(Tag::kMountSource);
  if ((item.kind == MountKind::kOverlay) != (item.scratch != nullptr)) {
    return Refuse(Tag::kMountScratch);
  }
  // A bind carries the options of the host's superblock: they are not the container's to change.
  if (from_host && counts.of(Tag::kMountData) != 0) return Refuse(Tag::kMountData);
  item.data = data.list();
  return item;
}

Result<FileItem> ParseFile(const Field& group, Arena& arena) noexcept {
  FileItem item;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kFilePath:
            return Store(ReadPathInside(field, arena), &item.path);
          case Tag::kFileMode:
            return Store(ReadNumber(field, 0, 07777), &item.mode);
          case Tag::kFileContent: {
            const size_t size = field.payload.size();
            auto* content = static_cast<uint8_t*>(arena.Allocate(size, 1));
            if (content == nullptr) return plan::NoRoom();
            if (size != 0) memcpy(content, field.payload.data(), size);
            item.content = content;
            item.bytes = static_cast<uint32_t>(size);
            return {};
          }
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return std::unexpected(read.error());
  if (!seen.Has(Tag::kFilePath)) return Refuse(Tag::kFilePath);
  return item;
}

// A sysctl's key becomes a path below /proc/sys: only what such names are made of.
bool IsSysctlKey(const char* key) noexcept {
  const std::string_view text = key;
  if (text.empty() || text.front() == '/' || text.front() == '.' || text.back() == '/' ||
      text.back() == '.') {
    return false;
  }
  if (text.find("..") != std::string_view::npos || text.find("//") != std::string_view::npos) {
    return false;
  }
  for (const char letter : text) {
    const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                       (letter >= '0' && letter <= '9') || strchr("._-/:@", letter) != nullptr;
    if (!plain) return false;
  }
  return true;
}

Result<SysctlItem> ParseSysctl(const Field& group, Arena& arena) noexcept {
  SysctlItem item;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        if (tag == Tag::kKey) return Store(ReadText(field, arena, kMaxSysctl), &item.key);
        if (tag == Tag::kValue) return Store(ReadText(field, arena, PATH_MAX), &item.value);
        return Refuse(field.tag);
      });
  if (!read) return std::unexpected(read.error());
  if (item.key == nullptr || !IsSysctlKey(item.key)) return Refuse(Tag::kKey);
  if (item.value == nullptr) return Refuse(Tag::kValue);
  return item;
}

Result<DeviceItem> ParseDevice(const Field& group, Arena& arena) noexcept {
  DeviceItem item;
  SeenTags seen;
  uint64_t kind = 0;
  mode_t mode = 0666;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kDevicePath:
            return Store(ReadPathInside(field, arena), &item.path);
          case Tag::kDeviceKind:
            return Store(ReadNumber(field, 0, S_IFMT), &kind);
          case Tag::kDeviceMode:
            return Store(ReadNumber(field, 0, 0777), &mode);
          case Tag::kDeviceMajor:
            return Store(ReadNumber(field, 0, plan::kMaxMajor), &item.major);
          case Tag::kDeviceMinor:
            return Store(ReadNumber(field, 0, plan::kMaxMinor), &item.minor);
          case Tag::kDeviceUid:
            return Store(ReadNumber(field, 0, kMaxId), &item.uid);
          case Tag::kDeviceGid:
            return Store(ReadNumber(field, 0, kMaxId), &item.gid);
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return std::unexpected(read.error());
  if (item.path == nullptr) return Refuse(Tag::kDevicePath);
  if (kind != S_IFCHR && kind != S_IFBLK) return Refuse(Tag::kDeviceKind);
  item.kind_and_mode = static_cast<mode_t>(kind) | mode;
  return item;
}

Result<LogPlan> ParseLog(const Field& group, Arena& arena) noexcept {
  LogPlan log;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kLogPath:
            return Store(ReadStorePath(field, arena), &log.path);
          case Tag::kLogMaxBytes:
            return Store(ReadNumber(field, 0, UINT64_MAX), &log.max_bytes);
          case Tag::kLogFiles:
            return Store(ReadNumber(field, 0, 1000), &log.files);
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return std::unexpected(read.error());
  if (log.path == nullptr) return Refuse(Tag::kLogPath);
  return log;
}

// A null-terminated array of the strings with `tag` in a group, after `first`, if there is one.
Result<const char* const*> ReadStrings(const Field& group, Tag tag, uint32_t count,
                                       const char* first, Arena& arena) noexcept {
  const char** strings = arena.Array<const char*>(size_t{count} + 2);
  if (strings == nullptr) return plan::NoRoom();
  size_t used = 0;
  if (first != nullptr && count == 0) strings[used++] = first;
  FieldReader reader(group.payload);
  for (Field field; reader.Next(&field);) {
    if (field.tag != static_cast<uint16_t>(tag)) continue;
    const auto text = ReadText(field, arena, kMaxHookString);
    if (!text) return std::unexpected(text.error());
    strings[used++] = *text;
  }
  return strings;
}

Result<HookItem> ParseHook(const Field& group, Arena& arena) noexcept {
  HookItem item;
  SeenTags seen;
  TagCounts counts;
  FieldReader reader(group.payload);
  if (const auto counted = counts.Count(group.payload, group.tag); !counted) {
    return std::unexpected(counted.error());
  }
  for (Field field; reader.Next(&field);) {
    const Tag tag = static_cast<Tag>(field.tag);
    if (tag == Tag::kHookArg || tag == Tag::kHookEnv) continue;
    if (!seen.First(field.tag)) return Refuse(field.tag);
    Result<> taken;
    switch (tag) {
      case Tag::kHookPoint:
        taken =
            Store(ReadNumber(field, 1, static_cast<uint64_t>(HookPoint::kPoststop)), &item.point);
        break;
      case Tag::kHookPath:
        taken = Store(ReadAbsolutePath(field, arena), &item.path);
        break;
      case Tag::kHookTimeoutMs:
        taken = Store(ReadNumber(field, 0, INT32_MAX), &item.timeout_ms);
        break;
      default:
        return Refuse(field.tag);
    }
    if (!taken) return std::unexpected(taken.error());
  }
  if (!seen.Has(Tag::kHookPoint)) return Refuse(Tag::kHookPoint);
  if (item.path == nullptr) return Refuse(Tag::kHookPath);
  if (counts.of(Tag::kHookArg) > kMaxMounts) return Refuse(Tag::kHookArg, E2BIG);
  if (counts.of(Tag::kHookEnv) > kMaxMounts) return Refuse(Tag::kHookEnv, E2BIG);
  Result<> taken = Store(
      ReadStrings(group, Tag::kHookArg, counts.of(Tag::kHookArg), item.path, arena), &item.argv);
  if (taken) {
    taken = Store(ReadStrings(group, Tag::kHookEnv, counts.of(Tag::kHookEnv), nullptr, arena),
                  &item.envp);
  }
  if (!taken) return std::unexpected(taken.error());
  return item;
}

Result<NamespaceItem> ParseNamespace(const Field& group, Arena& arena) noexcept {
  NamespaceItem item;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        if (tag == Tag::kNamespaceFile) return Store(ReadAbsolutePath(field, arena), &item.path);
        if (tag != Tag::kNamespaceKind) return Refuse(field.tag);
        return Store(ReadNumber(field, 0, kAllNamespaces), &item.kind);
      });
  if (!read) return std::unexpected(read.error());
  // The mount namespace is what is made here; the others can be entered by the child.
  constexpr uint64_t kJoined = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
  if ((item.kind & ~kJoined) != 0 || item.kind == 0 || (item.kind & (item.kind - 1)) != 0) {
    return Refuse(Tag::kNamespaceKind);
  }
  if (item.path == nullptr) return Refuse(Tag::kNamespaceFile);
  return item;
}

// The lists of a Launch, each as long as the first pass over the fields said.
struct LaunchLists {
  ListBuilder<const char*> layers;
  ListBuilder<MountItem> mounts;
  ListBuilder<FileItem> files;
  ListBuilder<const char*> masked_paths;
  ListBuilder<const char*> read_only_paths;
  ListBuilder<SysctlItem> sysctls;
  ListBuilder<const char*> time_offsets;
  ListBuilder<DeviceItem> devices;
  ListBuilder<DeviceRule> device_rules;
  ListBuilder<HookItem> hooks;
  ListBuilder<NamespaceItem> namespaces;

  Result<> Reserve(const TagCounts& counts, Arena& arena) noexcept {
    const auto reserve = [&](auto& list, Tag tag, uint32_t most) noexcept -> Result<> {
      const uint32_t count = counts.of(tag);
      if (count > most) return Refuse(tag, E2BIG);
      if (!list.Reserve(arena, count)) return plan::NoRoom();
      return {};
    };
    Result<> ok = reserve(layers, Tag::kLayer, kMaxLayers);
    if (ok) ok = reserve(mounts, Tag::kMount, kMaxMounts);
    if (ok) ok = reserve(files, Tag::kFile, kMaxMounts);
    if (ok) ok = reserve(masked_paths, Tag::kMaskedPath, kMaxMounts);
    if (ok) ok = reserve(read_only_paths, Tag::kReadOnlyPath, kMaxMounts);
    if (ok) ok = reserve(sysctls, Tag::kSysctl, kMaxMounts);
    if (ok) ok = reserve(time_offsets, Tag::kTimeOffset, kMaxTimeOffsets);
    if (ok) ok = reserve(devices, Tag::kDevice, kMaxMounts);
    if (ok) ok = reserve(device_rules, Tag::kDeviceRule, kMaxDeviceRules);
    if (ok) ok = reserve(hooks, Tag::kHook, kMaxMounts);
    if (ok) ok = reserve(namespaces, Tag::kNamespacePath, kMaxMounts);
    return ok;
  }
};

template <typename T>
Result<> Add(const Result<T>& item, ListBuilder<T>& list, const Field& field) noexcept {
  if (!item) return std::unexpected(item.error());
  if (!list.Add(*item)) return Refuse(field.tag);
  return {};
}

// A field that repeats. False: it is none of those.
Result<bool> TakeListed(const Field& field, LaunchLists& lists, Arena& arena) noexcept {
  Result<> taken;
  switch (static_cast<Tag>(field.tag)) {
    case Tag::kLayer:
      taken = Add(ReadStorePath(field, arena), lists.layers, field);
      break;
    case Tag::kMount:
      taken = Add(ParseMount(field, arena), lists.mounts, field);
      break;
    case Tag::kFile:
      taken = Add(ParseFile(field, arena), lists.files, field);
      break;
    case Tag::kMaskedPath:
      taken = Add(ReadPathInside(field, arena), lists.masked_paths, field);
      break;
    case Tag::kReadOnlyPath:
      taken = Add(ReadPathInside(field, arena), lists.read_only_paths, field);
      break;
    case Tag::kSysctl:
      taken = Add(ParseSysctl(field, arena), lists.sysctls, field);
      break;
    case Tag::kTimeOffset:
      taken = Add(plan::ParseTimeOffset(field, arena), lists.time_offsets, field);
      break;
    case Tag::kDevice:
      taken = Add(ParseDevice(field, arena), lists.devices, field);
      break;
    case Tag::kDeviceRule:
      taken = Add(plan::ParseDeviceRule(field), lists.device_rules, field);
      break;
    default:
      return false;
  }
  if (!taken) return std::unexpected(taken.error());
  return true;
}

// What only a bundle has.
Result<bool> TakeBundle(const Field& field, LaunchLists& lists, SeenTags& seen, LaunchPlan& plan,
                        Arena& arena) noexcept {
  BundlePlan& bundle = plan.bundle;
  const Tag tag = static_cast<Tag>(field.tag);
  Result<> taken;
  switch (tag) {
    case Tag::kHook:
      taken = Add(ParseHook(field, arena), lists.hooks, field);
      break;
    case Tag::kNamespacePath:
      taken = Add(ParseNamespace(field, arena), lists.namespaces, field);
      break;
    case Tag::kRootfs:
    case Tag::kHookState:
    case Tag::kDomainname:
    case Tag::kCgroupsPath:
      if (!seen.First(field.tag)) return Refuse(field.tag);
      if (tag == Tag::kRootfs) taken = Store(ReadAbsolutePath(field, arena), &bundle.rootfs);
      if (tag == Tag::kHookState) {
        taken = Store(ReadText(field, arena, kMaxHookState), &bundle.hook_state);
      }
      if (tag == Tag::kDomainname) {
        taken = Store(ReadText(field, arena, kMaxHostname), &plan.domainname);
      }
      if (tag == Tag::kCgroupsPath)
        taken = Store(ReadStorePath(field, arena), &bundle.cgroups_path);
      break;
    default:
      return false;
  }
  if (!taken) return std::unexpected(taken.error());
  return true;
}

// Lines of three numbers, which are the kernel's to judge.
Result<const char*> ReadIdMap(const Field& field, Arena& arena) noexcept {
  constexpr size_t kMostBytes = 4095;  // user_namespaces(7): less than a page
  const auto map = ReadText(field, arena, kMostBytes);
  if (map && (**map == '\0' || (*map)[strspn(*map, "0123456789 \n")] != '\0')) {
    return Refuse(field.tag);
  }
  return map;
}

// What comes before the command's argv, and that.
const char** InitArguments(const ProcessPlan& process, uint32_t argc, Arena& arena) noexcept {
  auto* argv = arena.Array<const char*>(argc + 3);
  if (argv == nullptr) return nullptr;
  argv[0] = init::kInitName;
  for (uint32_t i = 0; i < argc; ++i) argv[i + 2] = process.argv[i];
  return argv;
}

Result<> TakeSingle(const Field& field, LaunchPlan& plan, Arena& arena, bool* init) noexcept {
  switch (static_cast<Tag>(field.tag)) {
    case Tag::kFolderContainer:
      return Store(ReadStorePath(field, arena), &plan.folder);
    case Tag::kCgroupName:
      return Store(ReadName(field, arena), &plan.cgroup_name);
    case Tag::kCgroupParent:
      return Store(ReadPathInside(field, arena), &plan.cgroup_parent);
    case Tag::kHostname:
      return Store(ReadText(field, arena, kMaxHostname), &plan.hostname);
    case Tag::kMountLabel:
      return Store(plan::ReadLabel(field, arena), &plan.mount_label);
    case Tag::kWantStarted:
      return Store(ReadFlag(field), &plan.want_started);
    case Tag::kReadOnlyRoot:
      return Store(ReadFlag(field), &plan.read_only_root);
    case Tag::kInit:
      return Store(ReadFlag(field), init);
    case Tag::kWarmPool:
      return Store(ReadFlag(field), &plan.warm_pool);
    case Tag::kTimeoutMs:
      return Store(ReadNumber(field, 0, kMaxTimeoutMs), &plan.timeout_ms);
    case Tag::kLogFile:
      return Store(ParseLog(field, arena), &plan.log);
    case Tag::kUidMap:
      return Store(ReadIdMap(field, arena), &plan.user_namespace.uid_map);
    case Tag::kGidMap:
      return Store(ReadIdMap(field, arena), &plan.user_namespace.gid_map);
    case Tag::kOwnerUid:
      return Store(ReadNumber(field, 0, kMaxId), &plan.user_namespace.owner_uid);
    case Tag::kOwnerGid:
      return Store(ReadNumber(field, 0, kMaxId), &plan.user_namespace.owner_gid);
    case Tag::kLimits:
      return Store(plan::ParseLimits(field, arena), &plan.limits);
    case Tag::kNamespaces:
      if (const auto stored = Store(ReadNumber(field, 0, kAllNamespaces), &plan.namespaces);
          !stored) {
        return stored;
      }
      if ((plan.namespaces & ~kAllNamespaces) != 0) return Refuse(field.tag);
      return {};
    default:
      for (const SharedNamespace& shared : kSharedNamespaces) {
        if (field.tag != static_cast<uint16_t>(shared.tag)) continue;
        if (const auto id = ReadNumber(field, 1, UINT32_MAX); !id) {
          return std::unexpected(id.error());
        }
        plan.shared |= shared.flag;
        return {};
      }
      return Refuse(field.tag);
  }
}

enum class Form { kContainer, kBundle };

// Everything that is not the user namespace's own would be the machine's to it.
Result<> CheckUserNamespace(const LaunchPlan& plan, const SeenTags& seen, Form form) noexcept {
  constexpr Tag kTags[] = {Tag::kUidMap, Tag::kGidMap, Tag::kOwnerUid, Tag::kOwnerGid};
  const bool wanted = plan.user_namespace.uid_map != nullptr;
  for (const Tag tag : kTags) {
    if (seen.Has(tag) != wanted) return Refuse(tag);
  }
  if (wanted && (form == Form::kBundle || plan.namespaces != kAllNamespaces)) {
    return Refuse(Tag::kUidMap);
  }
  for (const MountItem& mount : plan.mounts) {
    if (mount.id_mapped && !wanted) return Refuse(Tag::kMountIdMapped);
  }
  return {};
}

Result<> CheckNamespaces(const LaunchPlan& plan, Form form) noexcept {
  const uint64_t own = plan.namespaces;
  const uint64_t needed = form == Form::kBundle ? kNeededOfBundles : kNeededNamespaces;
  if ((own & plan.shared) != 0) return Refuse(Tag::kNamespaces);
  if (((own | plan.shared) & needed) != needed) return Refuse(Tag::kNamespaces);
  // It would be another's name that changes.
  if (plan.hostname != nullptr && (own & CLONE_NEWUTS) == 0) return Refuse(Tag::kHostname);
  return {};
}

Result<const LaunchPlan*> ParseForm(Bytes body, Form form, Arena& arena) {
  auto* launch = arena.Array<LaunchPlan>(1);
  if (launch == nullptr) return plan::NoRoom();
  launch->namespaces = kAllNamespaces;

  TagCounts counts;
  LaunchLists lists;
  SeenTags seen;
  bool init = false;
  plan::ProcessParser process(arena);
  Result<> ok = counts.Count(body, 0);
  if (ok) ok = lists.Reserve(counts, arena);
  if (ok) ok = process.Begin(counts);
  if (!ok) return std::unexpected(ok.error());
  const Tag root = form == Form::kBundle ? Tag::kRootfs : Tag::kLayer;
  if (counts.of(root) == 0) return Refuse(root);

  FieldReader reader(body);
  Field field;
  while (reader.Next(&field)) {
    Result<bool> taken = TakeListed(field, lists, arena);
    if (taken && !*taken) taken = process.Take(field, seen);
    if (taken && !*taken && form == Form::kBundle) {
      taken = TakeBundle(field, lists, seen, *launch, arena);
    }
    if (!taken) return std::unexpected(taken.error());
    if (*taken) continue;
    if (!seen.First(field.tag)) return Refuse(field.tag);
    if (const auto single = TakeSingle(field, *launch, arena, &init); !single) {
      return std::unexpected(single.error());
    }
  }

  const auto completed = process.End();
  if (!completed) return std::unexpected(completed.error());
  launch->process = *completed;
  if (init) {
    launch->init_argv = InitArguments(launch->process, counts.of(Tag::kArg), arena);
    if (launch->init_argv == nullptr) return plan::NoRoom();
  }
  launch->layers = lists.layers.list();
  launch->mounts = lists.mounts.list();
  launch->files = lists.files.list();
  launch->masked_paths = lists.masked_paths.list();
  launch->read_only_paths = lists.read_only_paths.list();
  launch->sysctls = lists.sysctls.list();
  launch->time_offsets = lists.time_offsets.list();
  launch->devices = lists.devices.list();
  launch->device_rules = lists.device_rules.list();
  Result<> checked = CheckNamespaces(*launch, form);
  if (checked) checked = CheckUserNamespace(*launch, seen, form);
  if (!checked) return std::unexpected(checked.error());
  launch->bundle.hooks = lists.hooks.list();
  launch->bundle.namespaces = lists.namespaces.list();
  return launch;
}

}  // namespace

Result<const LaunchPlan*> ParseLaunch(Bytes body, Arena& arena) {
  return ParseForm(body, Form::kContainer, arena);
}

Result<const LaunchPlan*> ParseBundle(Bytes body, Arena& arena) {
  return ParseForm(body, Form::kBundle, arena);
}

Result<const ExecPlan*> ParseExec(Bytes body, Arena& arena) {
  auto* exec = arena.Array<ExecPlan>(1);
  if (exec == nullptr) return plan::NoRoom();

  TagCounts counts;
  SeenTags seen;
  plan::ProcessParser process(arena);
  Result<> ok = counts.Count(body, 0);
  if (ok) ok = process.Begin(counts);
  if (!ok) return std::unexpected(ok.error());

  FieldReader reader(body);
  Field field;
  while (reader.Next(&field)) {
    const Result<bool> taken = process.Take(field, seen);
    if (!taken) return std::unexpected(taken.error());
    if (*taken) continue;
    if (!seen.First(field.tag)) return Refuse(field.tag);
    switch (static_cast<Tag>(field.tag)) {
      case Tag::kContainer:
        ok = Store(ReadNumber(field, 0, UINT32_MAX), &exec->container);
        break;
      case Tag::kTimeoutMs:
        ok = Store(ReadNumber(field, 0, kMaxTimeoutMs), &exec->timeout_ms);
        break;
      case Tag::kWantStarted:
        ok = Store(ReadFlag(field), &exec->want_started);
        break;
      case Tag::kTimeNamespace:
        ok = Store(ReadFlag(field), &exec->time_namespace);
        break;
      case Tag::kOwnerUid:
        ok = Store(ReadNumber(field, 0, kMaxId), &exec->owner_uid);
        break;
      case Tag::kOwnerGid:
        ok = Store(ReadNumber(field, 0, kMaxId), &exec->owner_gid);
        break;
      default:
        ok = Refuse(field.tag);
        break;
    }
    if (!ok) return std::unexpected(ok.error());
  }
  if (!seen.Has(Tag::kContainer)) return Refuse(Tag::kContainer);
  exec->user_namespace = seen.Has(Tag::kOwnerUid);
  if (seen.Has(Tag::kOwnerGid) != exec->user_namespace) return Refuse(Tag::kOwnerGid);

  const auto completed = process.End();
  if (!completed) return std::unexpected(completed.error());
  exec->process = *completed;
  return exec;
}

}  // namespace caisson
