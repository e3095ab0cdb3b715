// zone: child
#include "child/user.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

constexpr size_t kMaxLine = 32 * 1024;
constexpr size_t kMaxFile = 4 * 1024 * 1024;
constexpr uint32_t kMaxId = 0xfffffffe;  // 2^32-1 is "no change" to the kernel

// A piece of a line, not terminated.
struct Text {
  const char* at = nullptr;
  size_t size = 0;

  [[nodiscard]] bool Is(Text other) const noexcept {
    return size == other.size && memcmp(at, other.at, size) == 0;
  }
  [[nodiscard]] bool empty() const noexcept { return size == 0; }
};

enum class Number { kNone, kValid, kInvalid };

// Digits and nothing else are a number, which must fit: "4294967296" is an error, never 0.
Number ParseId(Text text, uint32_t* id) noexcept {
  if (text.empty()) return Number::kNone;
  uint64_t value = 0;
  for (size_t i = 0; i < text.size; ++i) {
    if (text.at[i] < '0' || text.at[i] > '9') return Number::kNone;
    if (value <= kMaxId) value = value * 10 + static_cast<uint64_t>(text.at[i] - '0');
  }
  if (value > kMaxId && CAISSON_GUARD(kIdRange)) return Number::kInvalid;
  *id = static_cast<uint32_t>(value);
  return Number::kValid;
}

// The text up to the next `separator`, which `rest` then begins after.
Text TakeField(Text* rest, char separator) noexcept {
  const auto* end =
      static_cast<const char*>(rest->size == 0 ? nullptr : memchr(rest->at, separator, rest->size));
  const size_t size = end == nullptr ? rest->size : static_cast<size_t>(end - rest->at);
  const Text field = {rest->at, size};
  const size_t used = end == nullptr ? size : size + 1;
  *rest = {rest->at + used, rest->size - used};
  return field;
}

// The lines of a file of the image, which may be anything: a FIFO, a device, endless.
class Lines {
 public:
  Lines(int root, const char* path) noexcept
      : fd_(sys::OpenAt2(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, sys::kInRoot)) {
    struct stat info;
    if (fd_ >= 0 && (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode))) {
      (void)close(fd_);
      fd_ = -1;
    }
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  ~Lines() {
    if (fd_ >= 0) (void)close(fd_);
  }

  // Valid until the next call. Lines that are too long are passed over.
  bool Next(Text* line) noexcept {
    for (;;) {
      const auto* end = static_cast<const char*>(
          begin_ == end_ ? nullptr : memchr(buffer_ + begin_, '\n', end_ - begin_));
      if (end != nullptr || (finished_ && begin_ < end_)) {
        const size_t stop = end != nullptr ? static_cast<size_t>(end - buffer_) : end_;
        *line = {buffer_ + begin_, stop - begin_};
        begin_ = end != nullptr ? stop + 1 : end_;
        const bool whole = !skipping_;
        skipping_ = false;
        if (whole) return true;
        continue;
      }
      if (finished_ || !Fill()) return false;
    }
  }

 private:
  // More bytes behind those that are not yet taken.
  bool Fill() noexcept {
    if (fd_ < 0) return false;
    if (begin_ == 0 && end_ == sizeof buffer_) {
      skipping_ = true;
      end_ = 0;
    }
    memmove(buffer_, buffer_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const ssize_t got = total_ >= kMaxFile ? 0 : read(fd_, buffer_ + end_, sizeof buffer_ - end_);
    if (got <= 0) {
      finished_ = true;
      return end_ > 0;
    }
    total_ += static_cast<size_t>(got);
    end_ += static_cast<size_t>(got);
    return true;
  }

  int fd_;
  char buffer_[kMaxLine];
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t total_ = 0;
  bool skipping_ = false;
  bool finished_ = false;
};

struct Account {
  Text name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  Text home;
};

// name:password:uid:gid:comment:home:shell
bool ParseAccount(Text line, Account* account) noexcept {
  account->name = TakeField(&line, ':');
  (void)TakeField(&line, ':');
  const bool ids = ParseId(TakeField(&line, ':'), &account->uid) == Number::kValid &&
                   ParseId(TakeField(&line, ':'), &account->gid) == Number::kValid;
  (void)TakeField(&line, ':');
  account->home = TakeField(&line, ':');
  return ids && !account->name.empty();
}

struct GroupEntry {
  Text name;
  uint32_t gid = 0;
  Text members;
};

// name:password:gid:member,member
bool ParseGroup(Text line, GroupEntry* group) noexcept {
  group->name = TakeField(&line, ':');
  (void)TakeField(&line, ':');
  const bool id = ParseId(TakeField(&line, ':'), &group->gid) == Number::kValid;
  group->members = TakeField(&line, ':');
  return id && !group->name.empty();
}

bool HasMember(Text members, Text name) noexcept {
  while (!members.empty()) {
    if (TakeField(&members, ',').Is(name)) return true;
  }
  return false;
}

bool AddGroup(UserIds* ids, gid_t gid) noexcept {
  for (uint32_t i = 0; i < ids->group_count; ++i) {
    if (ids->groups[i] == gid) return true;
  }
  if (ids->group_count == kMaxGroups) return false;
  ids->groups[ids->group_count++] = gid;
  return true;
}

struct UserName {
  char text[NAME_MAX + 1] = {};
  size_t size = 0;
};

// Finds the entry of `user` and takes its ids, home and name from it.
int FindAccount(int root, Text user, UserIds* ids, UserName* name) noexcept {
  uint32_t wanted = 0;
  const Number number = user.empty() ? Number::kValid : ParseId(user, &wanted);
  if (number == Number::kInvalid) return EINVAL;

  Lines lines(root, "etc/passwd");
  Text line;
  while (lines.Next(&line)) {
    Account account;
    if (!ParseAccount(line, &account)) continue;
    const bool match = number == Number::kValid ? account.uid == wanted : account.name.Is(user);
    if (!match) continue;
    ids->uid = account.uid;
    ids->gid = account.gid;
    if (account.home.size < sizeof ids->home &&
        memchr(account.home.at, '\0', account.home.size) == nullptr) {
      memcpy(ids->home, account.home.at, account.home.size);
      ids->home[account.home.size] = '\0';
    }
    if (account.name.size < sizeof name->text) {
      memcpy(name->text, account.name.at, account.name.size);
      name->size = account.name.size;
    }
    return 0;
  }
  if (number != Number::kValid) return ENOENT;
  ids->uid = wanted;
  ids->gid = 0;
  return 0;
}

// The id of the group called `group`, by number or by name.
int FindGroup(int root, Text group, gid_t* gid) noexcept {
  uint32_t wanted = 0;
  const Number number = ParseId(group, &wanted);
  if (number == Number::kInvalid) return EINVAL;
  if (number == Number::kValid) {
    *gid = wanted;
    return 0;
  }
  Lines lines(root, "etc/group");
  Text line;
  while (lines.Next(&line)) {
    GroupEntry entry;
    if (!ParseGroup(line, &entry) || !entry.name.Is(group)) continue;
    *gid = entry.gid;
    return 0;
  }
  return ENOENT;
}

int AddMemberships(int root, const UserName& user, UserIds* ids) noexcept {
  Lines lines(root, "etc/group");
  Text line;
  while (lines.Next(&line)) {
    GroupEntry entry;
    if (!ParseGroup(line, &entry) || !HasMember(entry.members, {user.text, user.size})) continue;
    if (!AddGroup(ids, entry.gid)) return E2BIG;
  }
  return 0;
}

}  // namespace

int ResolveUser(int root, const char* user, const List<const char*>& add_groups, UserIds* ids,
                uint32_t* failed_group) noexcept {
  *failed_group = 0;
  Text rest = {user, strlen(user)};
  const bool has_group = memchr(user, ':', rest.size) != nullptr;
  const Text name = TakeField(&rest, ':');
  if (has_group && rest.empty()) return EINVAL;

  UserName found;
  int error = FindAccount(root, name, ids, &found);
  if (error == 0 && has_group) error = FindGroup(root, rest, &ids->gid);
  if (error != 0) return error;

  // The primary group is among the supplementary ones, or a set-group-id program could drop it
  // (CVE-2022-36109).
  (void)AddGroup(ids, ids->gid);
  if (!has_group && found.size != 0) error = AddMemberships(root, found, ids);
  if (error != 0) return error;

  for (uint32_t i = 0; i < add_groups.count; ++i) {
    *failed_group = i + 1;
    const char* group = add_groups.items[i];
    gid_t gid = 0;
    error = FindGroup(root, {group, strlen(group)}, &gid);
    if (error != 0) return error;
    if (!AddGroup(ids, gid)) return E2BIG;
  }
  *failed_group = 0;
  return 0;
}

}  // namespace caisson::child
