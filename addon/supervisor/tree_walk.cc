// zone: native
#include "supervisor/tree_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "supervisor/kernel.h"
#include "supervisor/open_entry.h"
#include "supervisor/sorted_names.h"

namespace caisson {
namespace {

// As deep as an import goes: two descriptors a level here as well.
constexpr unsigned kMaxDepth = 2048;
// How often an entry that changes its type under our hands is looked at again.
constexpr int kLooks = 3;
constexpr int kMostLinks = 40;  // as the kernel

bool Stat(int folder_fd, const char* name, struct stat* status) {
  return fstatat(folder_fd, name, status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0;
}

bool Has(int folder_fd, const char* name) {
  struct stat status;
  return folder_fd >= 0 && Stat(folder_fd, name, &status);
}

// The link's text, "" when there is something else; false when there is nothing.
bool ReadLink(int root_fd, const std::string& folder, const std::string& name, std::string* text) {
  if (root_fd < 0) return false;
  const UniqueFd parent(sys::OpenAt2(root_fd, folder.empty() ? "." : folder.c_str(),
                                     O_PATH | O_DIRECTORY, kernel::kBeneath));
  if (!parent) return false;
  char link[PATH_MAX];
  const ssize_t bytes = readlinkat(parent.get(), name.c_str(), link, sizeof link);
  text->assign(link, bytes < 0 ? 0 : static_cast<size_t>(bytes));
  return bytes >= 0 || errno == EINVAL;
}

void PushParts(std::string_view path, std::vector<std::string>* parts) {
  for (size_t end = path.size(); end != std::string_view::npos;) {
    const size_t slash = path.substr(0, end).rfind('/');
    const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    if (end > begin) parts->emplace_back(path.substr(begin, end - begin));
    end = slash;
  }
}

// Where a start has found `path` (absolute), going through links as it did; "" where there is none.
std::string Resolve(const Tree& tree, std::string_view path) {
  std::vector<std::string> parts;
  PushParts(path, &parts);
  std::string at;
  for (int links = 0; !parts.empty();) {
    const std::string part = std::move(parts.back());
    parts.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      const size_t slash = at.rfind('/');
      at.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    std::string link;
    if (!ReadLink(tree.upper_fd, at, part, &link)) (void)ReadLink(tree.lower_fd, at, part, &link);
    if (link.empty()) {
      if (!at.empty()) at += '/';
      at += part;
      continue;
    }
    if (++links > kMostLinks) return {};
    if (link.front() == '/') at.clear();
    PushParts(link, &parts);
  }
  return at;
}

}  // namespace

void TreeWalk::ResolveMountPoints() {
  for (const std::string& path : tree_.mount_points) {
    if (std::string resolved = Resolve(tree_, path); !resolved.empty()) {
      mount_points_.push_back(std::move(resolved));
    }
  }
  std::ranges::sort(mount_points_);
}

bool TreeWalk::IsMountPoint() const {
  return std::ranges::binary_search(mount_points_, path_);
}

std::string TreeWalk::OverlayXattr(const char* name) const {
  const bool user = tree_.overlay == layer::OverlayXattrs::kUser;
  return std::string(user ? "user.overlay." : "trusted.overlay.") + name;
}

Result<> TreeWalk::Run() {
  if (scope_ == Scope::kWritten) ResolveMountPoints();

  const auto open_top = [](int fd) {
    return UniqueFd(fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  };
  const UniqueFd upper = open_top(tree_.upper_fd);
  const UniqueFd lower = open_top(tree_.lower_fd);
  Visited top;
  top.fd = upper ? upper.get() : lower.get();
  top.side = upper ? Visited::Side::kUpper : Visited::Side::kLower;
  top.is_below = tree_.lower_fd >= 0;
  top.lower_fd = upper ? lower.get() : -1;
  if (top.fd < 0 || fstat(top.fd, &top.status) != 0) return FailErrno(Step::kExport);
  if (upper) tree_.ids.Show(&top.status);
  top.hides_below = MarkOf(upper.get()) == Mark::kOpaque;
  if (auto told = visitor_.Folder(top); !told) return told;
  return Inside(top, {.upper_fd = upper.get(), .lower_fd = lower.get(), .depth = 1});
}

TreeWalk::Mark TreeWalk::MarkOf(int folder_fd) const {
  char value[2];
  const auto name = OverlayXattr("opaque");
  if (folder_fd < 0 || fgetxattr(folder_fd, name.c_str(), value, sizeof value) != 1) {
    return Mark::kNone;
  }
  if (value[0] == 'x') return Mark::kMarkedFiles;
  return value[0] == 'y' ? Mark::kOpaque : Mark::kNone;
}

// What is in a folder that was told of, or is about to be.
Result<> TreeWalk::Inside(const Visited& folder, const Pair& pair) {
  const Mark mark = MarkOf(pair.upper_fd);
  if (mark == Mark::kOpaque && scope_ == Scope::kWritten) {
    if (auto flushed = Flush(); !flushed) return flushed;
    if (auto told = visitor_.Opaque(folder); !told) return told;
  }
  // Overlays are mounted so that they write none: what it means would be somewhere else.
  if (pair.upper_fd >= 0 && tree_.lower_fd >= 0 &&
      fgetxattr(pair.upper_fd, OverlayXattr("redirect").c_str(), nullptr, 0) >= 0) {
    return Fail(Step::kExport, EUCLEAN);
  }
  Pair inside = pair;
  inside.hides_below = folder.hides_below;
  inside.has_marked_files = mark == Mark::kMarkedFiles;
  return Children(inside);
}

Result<> TreeWalk::Children(const Pair& folder) {
  if (folder.depth > kMaxDepth) return Fail(Step::kExport, ENAMETOOLONG);
  std::vector<std::string> names;
  if (folder.upper_fd >= 0) {
    auto upper = SortedNames(folder.upper_fd, Step::kExport);
    if (!upper) return std::unexpected(upper.error());
    names = std::move(*upper);
  }
  if (folder.lower_fd >= 0 && !folder.hides_below && scope_ == Scope::kAll) {
    auto lower = SortedNames(folder.lower_fd, Step::kExport);
    if (!lower) return std::unexpected(lower.error());
    std::vector<std::string> both;
    both.reserve(names.size() + lower->size());
    std::ranges::set_union(names, *lower, std::back_inserter(both));
    names = std::move(both);
  }
  const size_t length = path_.size();
  for (const std::string& name : names) {
    if (length != 0) path_ += '/';
    path_ += name;
    if (auto result = Child(folder, name.c_str()); !result) return result;
    path_.resize(length);
  }
  return {};
}

Result<> TreeWalk::Child(const Pair& folder, const char* name) {
  for (int look = 0; look < kLooks; ++look) {
    bool changed = false;
    struct stat status;
    const bool is_upper = folder.upper_fd >= 0 && Stat(folder.upper_fd, name, &status);
    if (!is_upper && folder.upper_fd >= 0 && errno != ENOENT) return FailErrno(Step::kExport);
    const bool shows_below = folder.lower_fd >= 0 && !folder.hides_below;
    if (!is_upper && (scope_ == Scope::kWritten || !shows_below)) return {};
    auto result = is_upper ? Upper(folder, name, status, &changed) : Lower(folder, name, &changed);
    if (!result || !changed) return result;
  }
  return Fail(Step::kExport, EAGAIN);
}

bool TreeWalk::IsWhiteout(const Pair& folder, const char* name, const struct stat& status) const {
  if (S_ISCHR(status.st_mode)) return status.st_rdev == makedev(0, 0);
  if (!folder.has_marked_files || !S_ISREG(status.st_mode) || status.st_size != 0) return false;
  UniqueFd file;
  const auto opened = OpenEntry(folder.upper_fd, name, 0, Step::kExport, &file);
  return opened && *opened == Opened::kYes &&
         fgetxattr(file.get(), OverlayXattr("whiteout").c_str(), nullptr, 0) >= 0;
}

Result<> TreeWalk::Upper(const Pair& folder, const char* name, const struct stat& status,
                         bool* changed) {
  Visited visited;
  visited.path = path_;
  visited.folder_fd = folder.upper_fd;
  visited.status = status;
  visited.is_below = Has(folder.lower_fd, name);
  visited.below_fd = folder.lower_fd;
  if (IsWhiteout(folder, name, status)) {
    // One of nothing hides nothing, nor where all is hidden; in a layer alone nobody knows.
    const bool needless = tree_.lower_fd >= 0 && (!visited.is_below || folder.hides_below);
    if (scope_ == Scope::kAll || needless) return {};
    if (auto flushed = Flush(); !flushed) return flushed;
    return visitor_.Removed(visited);
  }
  UniqueFd entry;
  const bool is_folder = S_ISDIR(status.st_mode);
  if (is_folder || S_ISREG(status.st_mode)) {
    const auto opened =
        OpenEntry(folder.upper_fd, name, is_folder ? O_DIRECTORY : 0, Step::kExport, &entry);
    if (!opened) return std::unexpected(opened.error());
    if (*opened == Opened::kGone) return {};
    // What counts from here on is what was opened.
    if (*opened != Opened::kYes || fstat(entry.get(), &visited.status) != 0 ||
        S_ISDIR(visited.status.st_mode) != is_folder ||
        (!is_folder && !S_ISREG(visited.status.st_mode))) {
      *changed = true;
      return {};
    }
    visited.fd = entry.get();
  }
  tree_.ids.Show(&visited.status);
  if (is_folder) return Folder(std::move(visited), folder);
  if (visited.fd >= 0 && tree_.lower_fd >= 0 &&
      fgetxattr(visited.fd, OverlayXattr("metacopy").c_str(), nullptr, 0) >= 0) {
    return Fail(Step::kExport, EUCLEAN);
  }
  if (visited.fd >= 0 && visited.status.st_size == 0 && IsMountPoint()) {
    ++hidden_;
    return {};
  }
  if (auto flushed = Flush(); !flushed) return flushed;
  return visited.fd >= 0 ? visitor_.File(visited) : visitor_.Special(visited);
}

// An entry of the layers below, which nobody changes.
Result<> TreeWalk::Lower(const Pair& folder, const char* name, bool* changed) {
  Visited visited;
  visited.path = path_;
  visited.side = Visited::Side::kLower;
  visited.folder_fd = folder.lower_fd;
  visited.is_below = true;
  if (!Stat(folder.lower_fd, name, &visited.status)) {
    // Its name was in the upper folder, and is not any more.
    return errno == ENOENT ? Result<>() : FailErrno(Step::kExport);
  }
  const bool is_folder = S_ISDIR(visited.status.st_mode);
  if (!is_folder && !S_ISREG(visited.status.st_mode)) return visitor_.Special(visited);
  UniqueFd entry;
  const auto opened =
      OpenEntry(folder.lower_fd, name, is_folder ? O_DIRECTORY : 0, Step::kExport, &entry);
  if (!opened) return std::unexpected(opened.error());
  *changed = *opened != Opened::kYes;
  if (*changed) return {};
  visited.fd = entry.get();
  if (!is_folder) return visitor_.File(visited);
  if (auto told = visitor_.Folder(visited); !told) return told;
  return Inside(visited, {.lower_fd = entry.get(), .depth = folder.depth + 1});
}

Result<> TreeWalk::Folder(Visited visited, const Pair& folder) {
  const int fd = visited.fd;
  UniqueFd lower;
  if (visited.is_below) {
    // In the place of something else it is merged with nothing.
    const auto opened =
        OpenEntry(folder.lower_fd, visited.name(), O_DIRECTORY, Step::kExport, &lower);
    if (!opened) return std::unexpected(opened.error());
    visited.lower_fd = lower.get();
  }
  visited.hides_below = folder.hides_below || MarkOf(fd) == Mark::kOpaque;
  const uint64_t hidden = hidden_;
  if (IsMountPoint()) {
    const auto names = SortedNames(fd, Step::kExport);
    if (names && names->empty()) {
      ++hidden_;
      return {};
    }
    if (lseek(fd, 0, SEEK_SET) < 0) return FailErrno(Step::kExport);
  }
  const size_t place = pending_.size();
  pending_.push_back(std::move(visited));
  const Visited pending = pending_.back();
  if (scope_ == Scope::kAll) {
    if (auto flushed = Flush(); !flushed) return flushed;
  }
  auto inside =
      Inside(pending, {.upper_fd = fd, .lower_fd = lower.get(), .depth = folder.depth + 1});
  if (!inside) return inside;
  if (pending_.size() <= place) return {};  // told of
  if (hidden_ > hidden && IsAsMade(pending)) {
    pending_.pop_back();
    return {};
  }
  return Flush();
}

// Whether a folder is what a start makes on the way to a mount point, or what was there before.
bool TreeWalk::IsAsMade(const Visited& folder) {
  const struct stat& now = folder.status;
  struct stat before = {};
  before.st_mode = S_IFDIR | 0755;
  if (folder.is_below && (folder.lower_fd < 0 || fstat(folder.lower_fd, &before) != 0))
    return false;
  return now.st_mode == before.st_mode && now.st_uid == before.st_uid &&
         now.st_gid == before.st_gid;
}

Result<> TreeWalk::Flush() {
  const std::vector<Visited> pending = std::exchange(pending_, {});
  for (const Visited& folder : pending) {
    if (auto told = visitor_.Folder(folder); !told) return told;
  }
  return {};
}

}  // namespace caisson
