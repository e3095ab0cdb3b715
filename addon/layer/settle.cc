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
      if (auto listed = AddFolders(fd.get(), folder.path, inside, &todo); !listed) return listed;
      if (fgetxattr(fd.get(), OmittedMark(overlay_), nullptr, 0) < 0) continue;
      if (auto settled = SettleFolder(fd.get(), folder); !settled) return settled;
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

  static Result<> AddFolders(int folder_fd, const std::string& path, Sight sight,
                             std::vector<Folder>* todo) {
    for (;;) {
      alignas(dirent64) char buffer[16 * 1024];
      const ssize_t bytes = getdents64(folder_fd, buffer, sizeof buffer);
      if (bytes < 0) return FailErrno(Step::kSettle);
      if (bytes == 0) return {};
      for (ssize_t at = 0; at < bytes;) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
        at += entry->d_reclen;
        const std::string_view name = entry->d_name;
        if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
        std::string below = path == "." ? std::string(name) : path + '/' + std::string(name);
        todo->push_back({.path = std::move(below), .sight = sight});
      }
    }
  }

  Result<> SettleFolder(int folder_fd, const Folder& folder) {
    for (size_t i = folder.sight == Sight::kHidden ? 0 : lower_fds_.size(); i-- > 0;) {
      UniqueFd lower;
      auto says = Ask(lower_fds_[i], folder.path, &lower);
      if (!says) return std::unexpected(says.error());
      if (*says == Says::kNothing) continue;
      if (*says == Says::kThereIsNone) break;
      struct stat status;
      if (fstat(lower.get(), &status) != 0) return FailErrno(Step::kSettle);
      auto xattrs = ReadXattrs(lower.get(), Owners::kAny);
      if (!xattrs) return Fail(Step::kSettle, xattrs.error().error);
      std::erase_if(*xattrs,
                    [&](const Xattr& xattr) { return xattr.name == OmittedMark(overlay_); });
      if (auto applied = ApplyAttributes(folder_fd, status, *xattrs); !applied) {
        return Fail(Step::kSettle, applied.error().error);
      }
      break;
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
};

}  // namespace

Result<> Settle(int layer_fd, std::span<const int> lower_fds, OverlayXattrs overlay) {
  return Settler(layer_fd, lower_fds, overlay).Run();
}

}  // namespace caisson::layer
