// zone: native
#include "layer/layer_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "layer/layer_path.h"
#include "supervisor/import_attributes.h"
#include "supervisor/kernel.h"
#include "supervisor/remove_tree.h"

namespace caisson::layer {
namespace {

constexpr int kMostLinks = 40;  // as the kernel
constexpr uint64_t kFolderOnly = O_PATH | O_DIRECTORY | O_NOFOLLOW;

UniqueFd OpenFolder(int folder_fd, const char* path, uint64_t flags = kFolderOnly) {
  return UniqueFd(sys::OpenAt2(folder_fd, path, flags, kernel::kBeneath));
}

bool IsWhiteout(const struct stat& status) noexcept {
  return S_ISCHR(status.st_mode) && status.st_rdev == 0;
}

// The parts of `path`, the first one last.
void PushParts(std::string_view path, std::vector<std::string>* parts) {
  while (!path.empty()) {
    const size_t slash = path.rfind('/');
    const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    if (const auto part = path.substr(begin); !part.empty() && part != ".") {
      parts->emplace_back(part);
    }
    path = path.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
}

std::string Below(const std::string& path, std::string_view name) {
  std::string joined = path;
  if (!joined.empty()) joined += '/';
  return joined += name;
}

}  // namespace

Result<LayerTree::Place> LayerTree::PlaceOf(std::string_view path) {
  if (path.size() >= PATH_MAX) return Fail(Step::kUnpackWrite, ENAMETOOLONG);
  const SplitPath split = Split(path);
  if (auto opened = OpenParent(split.parent); !opened) return std::unexpected(opened.error());
  return Place{.folder_fd = parent_.fd.get(),
               .path = Below(parent_.path, split.name),
               .name = std::string(split.name)};
}

Result<> LayerTree::OpenParent(std::string_view path) {
  if (has_parent_ && path == parent_asked_) return {};
  has_parent_ = false;
  parent_asked_ = path;
  parent_.path = path;
  parent_.fd = OpenFolder(root_fd_, path.empty() ? "." : parent_asked_.c_str());
  if (!parent_.fd) {
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
      return FailErrno(Step::kUnpackWrite);
    }
    auto walked = Walk(path);
    if (!walked) return std::unexpected(walked.error());
    parent_ = std::move(*walked);
  }
  has_parent_ = true;
  return {};
}

Result<LayerTree::Opened> LayerTree::Walk(std::string_view path) {
  std::vector<std::string> parts;
  PushParts(path, &parts);
  const auto root = [&] { return Opened{.fd = OpenFolder(root_fd_, "."), .path = {}}; };
  Opened at = root();
  int links = 0;
  while (!parts.empty()) {
    const std::string part = std::move(parts.back());
    parts.pop_back();
    if (part == "..") {  // of a link; at the top it leads to the top
      at.path = Split(at.path).parent;
      at.fd = OpenFolder(root_fd_, at.path.empty() ? "." : at.path.c_str());
      if (!at.fd) return FailErrno(Step::kUnpackWrite);
      continue;
    }
    UniqueFd next = OpenFolder(at.fd.get(), part.c_str());
    if (!next) {
      struct stat status;
      const bool absent = errno == ENOENT;
      if (!absent && fstatat(at.fd.get(), part.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return FailErrno(Step::kUnpackWrite);
      }
      if (!absent && S_ISLNK(status.st_mode)) {
        if (++links > kMostLinks) return Fail(Step::kUnpackWrite, ELOOP);
        char target[PATH_MAX];
        const ssize_t bytes = readlinkat(at.fd.get(), part.c_str(), target, sizeof target);
        if (bytes < 0) return FailErrno(Step::kUnpackWrite);
        const std::string_view text(target, static_cast<size_t>(bytes));
        PushParts(text, &parts);
        if (text.starts_with('/')) at = root();
        continue;
      }
      const std::string made = Below(at.path, part);
      if (made.size() >= PATH_MAX) return Fail(Step::kUnpackWrite, ENAMETOOLONG);
      const bool hidden = !absent && IsWhiteout(status);
      if (!absent && !hidden) return Fail(Step::kUnpackWrite, ENOTDIR);
      if (hidden && unlinkat(at.fd.get(), part.c_str(), 0) != 0) {
        return FailErrno(Step::kUnpackWrite);
      }
      if (auto folder = MakeFolder(at.fd.get(), part, made, hidden ? Omitted::kNo : Omitted::kYes);
          !folder) {
        return std::unexpected(folder.error());
      }
      if (hidden) {
        if (auto marked = Mark(at.fd.get(), part, OpaqueMark(overlay_)); !marked) {
          return std::unexpected(marked.error());
        }
      }
      next = OpenFolder(at.fd.get(), part.c_str());
      if (!next) return FailErrno(Step::kUnpackWrite);
    }
    at.path = Below(at.path, part);
    at.fd = std::move(next);
  }
  return at;
}

Result<> LayerTree::MakeFolder(int folder_fd, const std::string& name, const std::string& path,
                               Omitted omitted) {
  if (mkdirat(folder_fd, name.c_str(), 0700) != 0) return FailErrno(Step::kUnpackWrite);
  Folder& folder = folders_[path];
  folder = {};
  // Nobody says of when it is. The same each time: a layer can be compared with another unpacking.
  folder.attributes.status.st_mode = S_IFDIR | 0755;
  folder.is_omitted = omitted == Omitted::kYes;
  return {};
}

Result<> LayerTree::Mark(int folder_fd, const std::string& name, const char* xattr) {
  const UniqueFd folder =
      OpenFolder(folder_fd, name.empty() ? "." : name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!folder || fsetxattr(folder.get(), xattr, "y", 1, 0) != 0) {
    return FailErrno(Step::kUnpackWrite);
  }
  return {};
}

// A folder that is gone, and all in it.
void LayerTree::Forget(const std::string& path) {
  folders_.erase(path);
  const auto first = folders_.lower_bound(path + '/');
  const auto last = folders_.lower_bound(path + static_cast<char>('/' + 1));
  folders_.erase(first, last);
}

Result<LayerTree::Found> LayerTree::MakeRoom(const Place& place, Newcomer newcomer) {
  struct stat status;
  if (fstatat(place.folder_fd, place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return Found::kNothing;
    return FailErrno(Step::kUnpackWrite);
  }
  if (!S_ISDIR(status.st_mode)) {
    // One after the other on one tree, a file would have taken away what a new folder finds below.
    if (unlinkat(place.folder_fd, place.name.c_str(), 0) == 0) return Found::kHidden;
    return FailErrno(Step::kUnpackWrite);
  }
  if (newcomer == Newcomer::kFolder) return Found::kFolder;
  if (auto removed = RemoveTree(place.folder_fd, place.name); !removed) {
    return Fail(Step::kUnpackWrite, removed.error().error);
  }
  Forget(place.path);
  return Found::kNothing;
}

Result<> LayerTree::AddFolder(std::string_view path, Attributes attributes) {
  if (path.empty()) {
    folders_[{}] = {.attributes = std::move(attributes)};
    return {};
  }
  auto place = PlaceOf(path);
  if (!place) return std::unexpected(place.error());
  if (mkdirat(place->folder_fd, place->name.c_str(), 0700) != 0) {
    if (errno != EEXIST) return FailErrno(Step::kUnpackWrite);
    const auto found = MakeRoom(*place, Newcomer::kFolder);
    if (!found) return std::unexpected(found.error());
    if (*found != Found::kFolder) {
      if (mkdirat(place->folder_fd, place->name.c_str(), 0700) != 0) {
        return FailErrno(Step::kUnpackWrite);
      }
      if (auto marked = Mark(place->folder_fd, place->name, OpaqueMark(overlay_)); !marked) {
        return marked;
      }
    }
  }
  folders_[place->path] = {.attributes = std::move(attributes)};
  return {};
}

Result<> LayerTree::HideBelow(std::string_view path) {
  if (path.empty()) {
    hides_all_ = true;
    return Mark(root_fd_, {}, OpaqueMark(overlay_));
  }
  // As the parent of something in it: made where it is missing.
  auto place = PlaceOf(Below(std::string(path), "."));
  if (!place) return std::unexpected(place.error());
  return Mark(place->folder_fd, {}, OpaqueMark(overlay_));
}

Result<> LayerTree::Whiteout(std::string_view path) {
  auto place = PlaceOf(path);
  if (!place) return std::unexpected(place.error());
  if (mknodat(place->folder_fd, place->name.c_str(), S_IFCHR, makedev(0, 0)) == 0) {
    ++whiteouts_;
    return {};
  }
  if (errno != EEXIST) return FailErrno(Step::kUnpackWrite);
  // What this layer itself has there stays; a folder must not be merged with one below.
  struct stat status;
  if (fstatat(place->folder_fd, place->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno(Step::kUnpackWrite);
  }
  if (!S_ISDIR(status.st_mode)) return {};
  // Nor have attributes of one.
  if (const auto folder = folders_.find(place->path); folder != folders_.end()) {
    folder->second.is_omitted = false;
  }
  return Mark(place->folder_fd, place->name, OpaqueMark(overlay_));
}

Result<> LayerTree::Finish() {
  has_parent_ = false;
  parent_.fd.reset();
  Folder& top = folders_[{}];
  if (top.attributes.status.st_mode == 0) {
    top.attributes.status.st_mode = S_IFDIR | 0755;
  }
  // The top last: it is what owners were tried on.
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    finishing_ = folder->first;
    const UniqueFd fd = OpenFolder(root_fd_, finishing_.empty() ? "." : finishing_.c_str(),
                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd) return FailErrno(Step::kUnpackWrite);
    if (folder->second.is_omitted) {
      ++omitted_;
      if (fsetxattr(fd.get(), OmittedMark(overlay_), "y", 1, 0) != 0) {
        return FailErrno(Step::kUnpackWrite);
      }
    }
    const Attributes& attributes = folder->second.attributes;
    if (auto applied = ApplyAttributes(fd.get(), attributes.status, attributes.xattrs); !applied) {
      return Fail(Step::kUnpackWrite, applied.error().error);
    }
  }
  return {};
}

}  // namespace caisson::layer
