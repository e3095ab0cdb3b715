// zone: native
#pragma once

#include <errno.h>
#include <limits.h>
#include <stdint.h>

#include <string_view>

#include "base/arena.h"
#include "base/fields.h"
#include "base/result.h"
#include "plan/launch_plan.h"
#include "plan/protocol.h"

// What ParseLaunch and ParseExec are made of: checks of one field each. Every one of them answers
// with the Failure that the caller passes on: {kParse, errno, tag}, or {kArena, ENOMEM}.
namespace caisson::plan {

using protocol::Tag;

// As far as the kernel's own numbers of devices go.
constexpr uint32_t kMaxMajor = 0xfff;
constexpr uint32_t kMaxMinor = 0xfffff;
constexpr size_t kMaxLabel = 255;  // fsconfig(2) takes no longer string

inline std::unexpected<Failure> Refuse(uint16_t tag, int error = EINVAL) noexcept {
  return Fail(Step::kParse, error, tag);
}
inline std::unexpected<Failure> Refuse(Tag tag, int error = EINVAL) noexcept {
  return Refuse(static_cast<uint16_t>(tag), error);
}
inline std::unexpected<Failure> NoRoom() noexcept {
  return Fail(Step::kArena, ENOMEM);
}

// Which tags were seen, so that a second one of a single field is refused. A tag beyond the table
// is unknown to every parser, which refuses it before it asks.
class SeenTags {
 public:
  [[nodiscard]] bool First(uint16_t tag) noexcept {
    if (tag >= 64 * 4) return true;
    uint64_t& word = words_[tag / 64];
    const uint64_t bit = uint64_t{1} << (tag % 64);
    const bool first = (word & bit) == 0;
    word |= bit;
    return first;
  }
  [[nodiscard]] bool Has(Tag tag) const noexcept {
    const auto number = static_cast<uint16_t>(tag);
    return (words_[number / 64] >> (number % 64) & 1) != 0;
  }

 private:
  uint64_t words_[4] = {};
};

inline Result<uint64_t> ReadNumber(const Field& field, uint64_t least, uint64_t most) noexcept {
  uint64_t value = 0;
  if (!field.ReadU64(&value) || value < least || value > most) return Refuse(field.tag);
  return value;
}

inline Result<bool> ReadFlag(const Field& field) noexcept {
  const auto value = ReadNumber(field, 0, 1);
  if (!value) return std::unexpected(value.error());
  return *value == 1;
}

// A string of at most `most` bytes, copied to the arena.
inline Result<const char*> ReadText(const Field& field, Arena& arena, size_t most,
                                    int too_long = EINVAL) noexcept {
  std::string_view text;
  if (!field.ReadString(&text)) return Refuse(field.tag);
  if (text.size() > most) return Refuse(field.tag, too_long);
  const char* copy = arena.String(text);
  if (copy == nullptr) return NoRoom();
  return copy;
}

// Calls `visit` with each component of a path; false as soon as it says so.
template <typename Visit>
bool EachComponent(std::string_view path, Visit visit) noexcept {
  size_t at = 0;
  while (at <= path.size()) {
    size_t end = path.find('/', at);
    if (end == std::string_view::npos) end = path.size();
    if (!visit(path.substr(at, end - at))) return false;
    at = end + 1;
  }
  return true;
}

// "/a/b", not "/", no "..".
inline Result<const char*> ReadPathInside(const Field& field, Arena& arena) noexcept {
  std::string_view path;
  if (!field.ReadString(&path) || path.empty() || path[0] != '/') return Refuse(field.tag);
  if (path.size() >= PATH_MAX) return Refuse(field.tag, ENAMETOOLONG);
  bool named = false;
  const bool plain = EachComponent(path, [&named](std::string_view component) {
    named = named || (!component.empty() && component != ".");
    return component != "..";
  });
  if (!plain || !named) return Refuse(field.tag);
  return ReadText(field, arena, PATH_MAX);
}

// "/…" of any kind: a path on the host, or a working folder.
inline Result<const char*> ReadAbsolutePath(const Field& field, Arena& arena) noexcept {
  std::string_view path;
  if (!field.ReadString(&path) || path.empty() || path[0] != '/') return Refuse(field.tag);
  if (path.size() >= PATH_MAX) return Refuse(field.tag, ENAMETOOLONG);
  return ReadText(field, arena, PATH_MAX);
}

// "a/b": relative to the store, in its plainest form, so that it cannot leave it.
inline Result<const char*> ReadStorePath(const Field& field, Arena& arena) noexcept {
  std::string_view path;
  if (!field.ReadString(&path)) return Refuse(field.tag);
  if (path.size() >= PATH_MAX) return Refuse(field.tag, ENAMETOOLONG);
  const bool plain = EachComponent(path, [](std::string_view component) {
    return !component.empty() && component != "." && component != "..";
  });
  if (!plain) return Refuse(field.tag);
  return ReadText(field, arena, PATH_MAX);
}

// One component, as a folder of a cgroup hierarchy is named.
inline Result<const char*> ReadName(const Field& field, Arena& arena) noexcept {
  std::string_view name;
  if (!field.ReadString(&name) || name.empty() || name.size() > NAME_MAX || name == "." ||
      name == ".." || name.find_first_of("/\n") != std::string_view::npos) {
    return Refuse(field.tag);
  }
  return ReadText(field, arena, NAME_MAX);
}

// A label of SELinux: a line of the kernel's, and an option of mount(2) that is quoted there.
inline Result<const char*> ReadLabel(const Field& field, Arena& arena) noexcept {
  std::string_view label;
  if (!field.ReadString(&label) || label.empty()) return Refuse(field.tag);
  for (const char letter : label) {
    if (letter <= ' ' || letter > '~' || letter == '"') return Refuse(field.tag);
  }
  return ReadText(field, arena, kMaxLabel);
}

// A list whose length is known from a first pass over the fields.
template <typename T>
class ListBuilder {
 public:
  [[nodiscard]] bool Reserve(Arena& arena, uint32_t count) noexcept {
    items_ = count == 0 ? nullptr : arena.Array<T>(count);
    capacity_ = count;
    return count == 0 || items_ != nullptr;
  }
  [[nodiscard]] bool Add(const T& item) noexcept {
    if (used_ == capacity_) return false;
    items_[used_++] = item;
    return true;
  }
  [[nodiscard]] List<T> list() const noexcept { return {items_, used_}; }

 private:
  T* items_ = nullptr;
  uint32_t used_ = 0;
  uint32_t capacity_ = 0;
};

// How often each tag occurs in `body`; refuses a body whose framing is broken.
class TagCounts {
 public:
  [[nodiscard]] Result<> Count(Bytes body, uint16_t parent) noexcept {
    FieldReader reader(body);
    Field field;
    while (reader.Next(&field)) {
      if (field.tag < 256) ++counts_[field.tag];
    }
    if (!reader.ok()) return Refuse(parent);
    return {};
  }
  [[nodiscard]] uint32_t of(Tag tag) const noexcept { return counts_[static_cast<uint16_t>(tag)]; }

 private:
  uint32_t counts_[256] = {};
};

// Assigns what `read` gives to `*to`, or passes its failure on.
template <typename T, typename U>
Result<> Store(const Result<T>& read, U* to) noexcept {
  if (!read) return std::unexpected(read.error());
  *to = static_cast<U>(*read);
  return {};
}

// Walks the fields of a group, each of which may occur once unless `repeated` names it, and hands
// them to `take`. Fails with the group's own tag when its framing is broken.
template <typename Take>
Result<> EachField(const Field& group, SeenTags& seen, Tag repeated, Take take) noexcept {
  FieldReader reader(group.payload);
  Field field;
  while (reader.Next(&field)) {
    if (!seen.First(field.tag) && static_cast<Tag>(field.tag) != repeated) return Refuse(field.tag);
    const Result<> taken = take(field, static_cast<Tag>(field.tag));
    if (!taken) return taken;
  }
  if (!reader.ok()) return Refuse(group.tag);
  return {};
}

}  // namespace caisson::plan
