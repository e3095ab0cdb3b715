// zone: native
#include "plan/parse_process.h"

#include <string.h>

#include <string>

#include "plan/parse.h"
#include "plan/parse_seccomp.h"

namespace caisson::plan {
namespace {

// MAX_ARG_STRLEN of the kernel, its NUL included: a longer argument fails in execve with E2BIG.
constexpr size_t kMaxArgument = 128 * 1024 - 1;
constexpr size_t kMaxUser = 512;
constexpr size_t kMaxProfile = 255;
constexpr uint32_t kMaxGroups = 1024;
constexpr uint32_t kMaxRlimits = 64;
constexpr uint64_t kMaxRlimitKind = 15;
constexpr uint32_t kMaxSeccomp = 4096;  // BPF_MAXINSNS
constexpr uint32_t kMaxCandidates = 1024;

// What a shell takes when PATH is unset, as Docker sets it.
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

Result<> ProcessParser::Begin(const TagCounts& counts) noexcept {
  const uint32_t args = counts.of(Tag::kArg);
  const uint32_t envs = counts.of(Tag::kEnv);
  if (args == 0) return Refuse(Tag::kArg);
  if (args > kMaxStrings) return Refuse(Tag::kArg, E2BIG);
  if (envs > kMaxStrings) return Refuse(Tag::kEnv, E2BIG);
  if (counts.of(Tag::kAddGroup) > kMaxGroups) return Refuse(Tag::kAddGroup, E2BIG);
  if (counts.of(Tag::kRlimit) > kMaxRlimits) return Refuse(Tag::kRlimit, E2BIG);

  // One more for the null at the end of argv; two for HOME's free slot and the null of envp.
  envp_ = arena_.Array<const char*>(envs + 2);
  if (!args_.Reserve(arena_, args + 1) || envp_ == nullptr ||
      !groups_.Reserve(arena_, counts.of(Tag::kAddGroup)) ||
      !rlimits_.Reserve(arena_, counts.of(Tag::kRlimit))) {
    return NoRoom();
  }
  return {};
}

Result<bool> ProcessParser::Take(const Field& field, SeenTags& seen) noexcept {
  switch (static_cast<Tag>(field.tag)) {
    case Tag::kArg: {
      const auto arg = ReadText(field, arena_, kMaxArgument, E2BIG);
      if (!arg) return std::unexpected(arg.error());
      if (!args_.Add(*arg)) return Refuse(field.tag);
      return true;
    }
    case Tag::kEnv: {
      const auto env = ReadText(field, arena_, kMaxArgument, E2BIG);
      if (!env) return std::unexpected(env.error());
      const char* equals = strchr(*env, '=');
      if (equals == nullptr || equals == *env) return Refuse(field.tag);
      envp_[plan_.envc++] = *env;
      return true;
    }
    case Tag::kAddGroup: {
      const auto group = ReadText(field, arena_, kMaxUser);
      if (!group) return std::unexpected(group.error());
      if (**group == '\0' || !groups_.Add(*group)) return Refuse(field.tag);
      return true;
    }
    case Tag::kRlimit: {
      const auto taken = TakeRlimit(field);
      if (!taken) return std::unexpected(taken.error());
      return true;
    }
    case Tag::kStdin:
    case Tag::kStdout:
    case Tag::kStderr:
    case Tag::kCwd:
    case Tag::kUser:
    case Tag::kCapBounding:
    case Tag::kCapEffective:
    case Tag::kCapPermitted:
    case Tag::kCapInheritable:
    case Tag::kCapAmbient:
    case Tag::kNoNewPrivileges:
    case Tag::kUmask:
    case Tag::kOomScoreAdj:
    case Tag::kSeccompFilter:
    case Tag::kSeccomp:
    case Tag::kTerminal:
    case Tag::kColumns:
    case Tag::kRows:
    case Tag::kAppArmor:
    case Tag::kSelinux:
    case Tag::kSetHome: {
      if (!seen.First(field.tag)) return Refuse(field.tag);
      const auto taken = TakeSingle(field);
      if (!taken) return std::unexpected(taken.error());
      return true;
    }
    default:
      return false;
  }
}

Result<> ProcessParser::TakeSingle(const Field& field) noexcept {
  const auto number = [&field](uint64_t most, auto assign) -> Result<> {
    const auto value = ReadNumber(field, 0, most);
    if (!value) return std::unexpected(value.error());
    assign(*value);
    return {};
  };
  const auto flag = [&number](bool* to) {
    return number(1, [to](uint64_t value) { *to = value == 1; });
  };
  const auto mask = [&number](uint64_t* to) {
    return number(UINT64_MAX, [to](uint64_t value) { *to = value; });
  };
  const auto stdio = [&number, this](int index, protocol::StdioKind last) {
    return number(static_cast<uint64_t>(last), [this, index](uint64_t value) {
      plan_.stdio[index] = static_cast<protocol::StdioKind>(value);
    });
  };

  switch (static_cast<Tag>(field.tag)) {
    case Tag::kStdin:
      return stdio(0, protocol::StdioKind::kDescriptor);
    case Tag::kStdout:
      return stdio(1, protocol::StdioKind::kLog);
    case Tag::kStderr:
      return stdio(2, protocol::StdioKind::kLog);
    case Tag::kCapBounding:
      return mask(&plan_.caps.bounding);
    case Tag::kCapEffective:
      return mask(&plan_.caps.effective);
    case Tag::kCapPermitted:
      return mask(&plan_.caps.permitted);
    case Tag::kCapInheritable:
      return mask(&plan_.caps.inheritable);
    case Tag::kCapAmbient:
      return mask(&plan_.caps.ambient);
    case Tag::kNoNewPrivileges:
      return flag(&plan_.no_new_privileges);
    case Tag::kTerminal:
      return flag(&plan_.terminal);
    case Tag::kColumns:
      return number(UINT16_MAX,
                    [this](uint64_t value) { plan_.columns = static_cast<uint16_t>(value); });
    case Tag::kRows:
      return number(UINT16_MAX,
                    [this](uint64_t value) { plan_.rows = static_cast<uint16_t>(value); });
    case Tag::kSetHome:
      return flag(&plan_.set_home);
    case Tag::kUmask:
      return number(0777, [this](uint64_t value) { plan_.umask = static_cast<mode_t>(value); });
    case Tag::kOomScoreAdj: {
      uint64_t value = 0;
      if (!field.ReadU64(&value)) return Refuse(field.tag);
      const auto adjust = static_cast<int64_t>(value);
      if (adjust < -1000 || adjust > 1000) return Refuse(field.tag);
      plan_.oom_score_adj = static_cast<int32_t>(adjust);
      plan_.set_oom_score_adj = true;
      return {};
    }
    case Tag::kCwd: {
      const auto cwd = ReadAbsolutePath(field, arena_);
      if (!cwd) return std::unexpected(cwd.error());
      plan_.cwd = *cwd;
      return {};
    }
    case Tag::kUser: {
      const auto user = ReadText(field, arena_, kMaxUser);
      if (!user) return std::unexpected(user.error());
      plan_.user = *user;
      return {};
    }
    case Tag::kAppArmor: {
      std::string_view name;
      if (!field.ReadString(&name) || name.empty() || name.size() > kMaxProfile) {
        return Refuse(field.tag);
      }
      for (const char letter : name) {
        if (letter <= ' ' || letter > '~') return Refuse(field.tag);
      }
      plan_.apparmor = arena_.String("exec " + std::string(name));
      if (plan_.apparmor == nullptr) return NoRoom();
      return {};
    }
    case Tag::kSelinux:
      return Store(ReadLabel(field, arena_), &plan_.selinux);
    case Tag::kSeccompFilter:
      return TakeSeccomp(field);
    case Tag::kSeccomp:
      seccomp_ = field;  // the capabilities that it is made for may come later
      return {};
    default:
      return Refuse(field.tag);
  }
}

Result<> ProcessParser::TakeRlimit(const Field& group) noexcept {
  RlimitItem item;
  SeenTags seen;
  const auto read =
      EachField(group, seen, Tag{}, [&](const Field& field, Tag tag) noexcept -> Result<> {
        switch (tag) {
          case Tag::kRlimitKind:
            return Store(ReadNumber(field, 0, kMaxRlimitKind), &item.kind);
          case Tag::kRlimitSoft:
            return Store(ReadNumber(field, 0, UINT64_MAX), &item.soft);
          case Tag::kRlimitHard:
            return Store(ReadNumber(field, 0, UINT64_MAX), &item.hard);
          default:
            return Refuse(field.tag);
        }
      });
  if (!read) return read;
  if (!seen.Has(Tag::kRlimitKind) || !seen.Has(Tag::kRlimitSoft) || !seen.Has(Tag::kRlimitHard) ||
      item.soft > item.hard) {
    return Refuse(group.tag);
  }
  if (!rlimits_.Add(item)) return Refuse(group.tag);
  return {};
}

Result<> ProcessParser::TakeSeccomp(const Field& field) noexcept {
  const size_t count = field.payload.size() / sizeof(sock_filter);
  if (count == 0 || field.payload.size() % sizeof(sock_filter) != 0) return Refuse(field.tag);
  if (count > kMaxSeccomp) return Refuse(field.tag, E2BIG);
  auto* filter = arena_.Array<sock_filter>(count);
  if (filter == nullptr) return NoRoom();
  memcpy(filter, field.payload.data(), field.payload.size());
  plan_.seccomp = {filter, static_cast<uint32_t>(count)};
  return {};
}

// A name with a slash is itself the place; else each folder of PATH is one, an empty one being the
// current folder, as POSIX has it.
Result<> ProcessParser::FindCandidates() noexcept {
  const std::string_view name = plan_.argv[0];
  if (name.empty()) return Refuse(Tag::kArg);
  ListBuilder<const char*> candidates;
  if (name.find('/') != std::string_view::npos) {
    if (name.size() >= PATH_MAX) return Refuse(Tag::kArg, ENAMETOOLONG);
    if (!candidates.Reserve(arena_, 1) || !candidates.Add(plan_.argv[0])) return NoRoom();
    plan_.exec_candidates = candidates.list();
    return {};
  }
  if (name.size() > NAME_MAX) return Refuse(Tag::kArg, ENAMETOOLONG);

  std::string_view path = kDefaultPath;
  for (uint32_t i = 0; i < plan_.envc; ++i) {
    const std::string_view env = plan_.envp[i];
    if (env.starts_with("PATH=")) path = env.substr(5);  // the last one, as getenv(3) does not say
  }
  uint32_t count = 1;
  for (const char letter : path) count += letter == ':' ? 1 : 0;
  if (count > kMaxCandidates) return Refuse(Tag::kEnv, E2BIG);
  if (!candidates.Reserve(arena_, count)) return NoRoom();

  size_t at = 0;
  while (at <= path.size()) {
    size_t end = path.find(':', at);
    if (end == std::string_view::npos) end = path.size();
    std::string_view folder = path.substr(at, end - at);
    at = end + 1;
    if (folder.empty()) folder = ".";
    const size_t length = folder.size() + 1 + name.size();
    if (length >= PATH_MAX) continue;  // nothing can be there
    auto* candidate = static_cast<char*>(arena_.Allocate(length + 1, 1));
    if (candidate == nullptr) return NoRoom();
    memcpy(candidate, folder.data(), folder.size());
    candidate[folder.size()] = '/';
    memcpy(candidate + folder.size() + 1, name.data(), name.size());
    candidate[length] = '\0';
    if (!candidates.Add(candidate)) return NoRoom();
  }
  plan_.exec_candidates = candidates.list();
  return {};
}

Result<ProcessPlan> ProcessParser::End() noexcept {
  if (!args_.Add(nullptr)) return Refuse(Tag::kArg);
  plan_.argv = args_.list().items;
  plan_.envp = envp_;
  plan_.add_groups = groups_.list();
  plan_.rlimits = rlimits_.list();
  if (seccomp_.tag != 0) {
    if (plan_.seccomp.count != 0) return Refuse(Tag::kSeccomp);
    const auto filter = ParseSeccomp(seccomp_.payload, plan_.caps.bounding, arena_);
    if (!filter) return std::unexpected(filter.error());
    plan_.seccomp = *filter;
  }
  if (plan_.terminal) {
    using protocol::StdioKind;
    const bool plain = plan_.stdio[0] == StdioKind::kNull && plan_.stdio[2] == StdioKind::kNull &&
                       plan_.stdio[1] != StdioKind::kDescriptor;
    if (!plain) return Refuse(Tag::kTerminal);
  }
  const auto found = FindCandidates();
  if (!found) return std::unexpected(found.error());
  return plan_;
}

}  // namespace caisson::plan
