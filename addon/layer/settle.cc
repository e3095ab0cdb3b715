// zone: native
#include "layer/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "layer/layer_path.h"
#include "supervisor/import_attributes.h"
#include "supervisor/kernel.h"

namespace caisson::layer {
namespace {

constexpr uint64_t kReadFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

// What a layer says of a folder of the one above.
enum class Says { kNothing, kThisIsIt, kThereIsNone };

class Settler {
 public:
  Settler(int layer_fd, std::span<const int> lower_fds, OverlayXattrs overlay)
      : layer_fd_(layer_fd), lower_fds_(lower_fds), overlay_(overlay) {}

  // Folder after folder, from a list: how deep they lie does not matter.
  Result<> Run() {
    std::vector<Folder> todo = {{.path = ".", .sight = Sight::kOpen}};
    while (!todo.empty()) {
      const Folder folder = std::move(todo.back());
      todo.pop_back();
      const UniqueFd fd(
          sys::OpenAt2(layer_fd_, folder.path.c_str(), kReadFolder, kernel::kBeneath));
      if (!fd) return FailErrno(Step::kSettle);
      const bool hides = fgetxattr(fd.get(), OpaqueMark(overlay_), nullptr, 0) >= 0;
      const Sight inside = hides ? Sight::kHidden : folder.sight;
      std::vector<std::string> whiteouts;
      auto listed = List(fd.get(), {.path = folder.path, .sight = inside}, &todo, &whiteouts);
      if (!listed) return listed;
      if (!whiteouts.empty()) {
        auto removed = RemoveNeedless(fd.get(), {.path = folder.path, .sight = inside}, whiteouts);
        if (!removed) return removed;
      }
      if (fgetxattr(fd.get(), OmittedMark(overlay_), nullptr, 0) < 0) continue;
      if (auto settled = SettleFolder(fd.get(), folder); !settled) return settled;
    }
    // From the bottom up.
    for (auto path = alone_.rbegin(); path != alone_.rend(); ++path) {
      if (auto removed = RemoveIfEmpty(*path); !removed) return removed;
    }
    return {};
  }

 private:
  // Whether a folder of this layer hides what lies below, from here down.
  enum class Sight { kOpen, kHidden };
  struct Folder {
    std::string path;
    Sight sight;
  };

  static Result<> List(int folder_fd, const Folder& folder, std::vector<Folder>* todo,
                       std::vector<std::string>* whiteouts) {
    for (;;) {
      alignas(dirent64) char buffer[16 * 1024];
      const ssize_t bytes = getdents64(folder_fd, buffer, sizeof buffer);
      if (bytes < 0) return FailErrno(Step::kSettle);
      if (bytes == 0) return {};
      for (ssize_t at = 0; at < bytes;) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
        at += entry->d_reclen;
        const std::string name = entry->d_name;
        if (entry->d_type == DT_CHR && IsWhiteout(folder_fd, name)) whiteouts->push_back(name);
        if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
        todo->push_back(
            {.path = folder.path == "." ? name : folder.path + '/' + name, .sight = folder.sight});
      }
    }
  }

  static bool IsWhiteout(int folder_fd, const std::string& name) {
    struct stat status;
    return fstatat(folder_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISCHR(status.st_mode) && status.st_rdev == 0;
  }

  Result<> RemoveNeedless(int folder_fd, const Folder& folder,
                          const std::vector<std::string>& whiteouts) {
    UniqueFd lower;
    const auto below = Find(folder, &lower);
    if (!below) return std::unexpected(below.error());
    if (*below == Says::kThisIsIt) return {};
    struct stat status;
    if (fstat(folder_fd, &status) != 0) return FailErrno(Step::kSettle);
    for (const std::string& name : whiteouts) {
      if (unlinkat(folder_fd, name.c_str(), 0) != 0) return FailErrno(Step::kSettle);
    }
    const timespec times[] = {status.st_atim, status.st_mtim};
    return futimens(folder_fd, times) == 0 ? Result<>() : FailErrno(Step::kSettle);
  }

  // An omitted folder that only whiteouts were in, which are gone, was never said to be there.
  Result<> RemoveIfEmpty(const std::string& path) {
    const SplitPath split = Split(path);
    const std::string parent(split.parent.empty() ? "." : split.parent);
    const UniqueFd folder(sys::OpenAt2(layer_fd_, parent.c_str(), kReadFolder, kernel::kBeneath));
    struct stat status;
    if (!folder || fstat(folder.get(), &status) != 0) return FailErrno(Step::kSettle);
    if (unlinkat(folder.get(), std::string(split.name).c_str(), AT_REMOVEDIR) != 0) {
      return errno == ENOTEMPTY ? Result<>() : FailErrno(Step::kSettle);
    }
    const timespec times[] = {status.st_atim, status.st_mtim};
    return futimens(folder.get(), times) == 0 ? Result<>() : FailErrno(Step::kSettle);
  }

  // The folder that a container would find at this path without this layer.
  Result<Says> Find(const Folder& folder, UniqueFd* found) const {
    if (folder.sight == Sight::kHidden) return Says::kThereIsNone;
    for (size_t i = lower_fds_.size(); i-- > 0;) {
      const auto says = Ask(lower_fds_[i], folder.path, found);
      if (!says || *says != Says::kNothing) return says;
    }
    return Says::kThereIsNone;
  }

  Result<> SettleFolder(int folder_fd, const Folder& folder) {
    UniqueFd lower;
    const auto below = Find(folder, &lower);
    if (!below) return std::unexpected(below.error());
    if (*below == Says::kThisIsIt) {
      struct stat status;
      if (fstat(lower.get(), &status) != 0) return FailErrno(Step::kSettle);
      auto xattrs = ReadXattrs(lower.get(), Owners::kAny);
      if (!xattrs) return Fail(Step::kSettle, xattrs.error().error);
      std::erase_if(*xattrs,
                    [&](const Xattr& xattr) { return xattr.name == OmittedMark(overlay_); });
      if (auto applied = ApplyAttributes(folder_fd, status, *xattrs); !applied) {
        return Fail(Step::kSettle, applied.error().error);
      }
    } else {
      alone_.push_back(folder.path);
    }
    if (fremovexattr(folder_fd, OmittedMark(overlay_)) != 0) return FailErrno(Step::kSettle);
    return {};
  }

  // Goes down name by name: each folder on the way may hide what lies below.
  Result<Says> Ask(int lower_fd, std::string_view path, UniqueFd* found) const {
    UniqueFd at(sys::OpenAt2(lower_fd, ".", kReadFolder, kernel::kBeneath));
    if (!at) return FailErrno(Step::kSettle);
    bool hides = false;
    while (!path.empty()) {
      const size_t slash = path.find('/');
      const std::string name(path.substr(0, slash));
      path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
      UniqueFd next(sys::OpenAt2(at.get(), name.c_str(), kReadFolder, kernel::kBeneath));
      if (!next) {
        if (errno == ENOENT) return hides ? Says::kThereIsNone : Says::kNothing;
        if (errno == ENOTDIR || errno == ELOOP) return Says::kThereIsNone;
        return FailErrno(Step::kSettle);
      }
      at = std::move(next);
      hides = hides || fgetxattr(at.get(), OpaqueMark(overlay_), nullptr, 0) >= 0;
    }
    *found = std::move(at);
    return Says::kThisIsIt;
  }

  int layer_fd_;
  std::span<const int> lower_fds_;
  OverlayXattrs overlay_;
  std::vector<std::string>
      alone_;  // omitted, and with nothing below; parents before what is in them
};

}  // namespace

Result<> Settle(int layer_fd, std::span<const int> lower_fds, OverlayXattrs overlay) {
  return Settler(layer_fd, lower_fds, overlay).Run();
}

}  // namespace caisson::layer
