// zone: native
#include "supervisor/remove_tree.h"

#include <dirent.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include <string_view>

#include "supervisor/kernel.h"

namespace caisson {

namespace {

constexpr uint64_t kStayHere = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
// Deeper folders are moved up to the top first: neither the stack nor the descriptors may depend on
// what somebody built.
constexpr int kMaxDepth = 24;

void ClearAttributes(int fd) {
  long flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return;
  const long wanted = flags & ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
  if (wanted != flags) (void)ioctl(fd, FS_IOC_SETFLAGS, &wanted);  // The retry will tell.
}

// Immutable and append-only files refuse to go; so do the entries of such folders.
void MakeRemovable(int folder, const char* name) {
  ClearAttributes(folder);
  UniqueFd entry(sys::OpenAt2(folder, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, kStayHere));
  if (entry) ClearAttributes(entry.get());
}

class Remover {
 public:
  // `top_fd` is the folder that is removed; what lies too deep is moved up into it.
  explicit Remover(int top_fd) : top_fd_(top_fd) {}

  int Remove(int folder, const char* name, int depth) {
    if (Unlink(folder, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM && errno != EBUSY) return errno;
    if (Unlink(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    if (errno == ENOTDIR) return EPERM;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES) return errno;
    if (depth >= kMaxDepth) return MoveUp(folder, name);

    UniqueFd inside = OpenFolder(folder, name);
    if (!inside) return errno == ENOENT ? 0 : errno;
    if (const int error = RemoveEntries(inside.get(), depth + 1); error != 0) return error;
    return Unlink(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
  }

 private:
  static int Unlink(int folder, const char* name, int flags) {
    if (unlinkat(folder, name, flags) == 0) return 0;
    if (errno != EPERM) return -1;
    MakeRemovable(folder, name);
    return unlinkat(folder, name, flags);
  }

  static UniqueFd OpenFolder(int folder, const char* name) {
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    UniqueFd inside(sys::OpenAt2(folder, name, kFlags, kStayHere));
    if (inside || errno != EACCES) return inside;
    // Without CAP_DAC_OVERRIDE over its owner: give ourselves the right, by descriptor.
    UniqueFd handle(sys::OpenAt2(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, kStayHere));
    if (!handle) return handle;
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", handle.get());
    (void)chmod(path, 0700);  // The next open tells.
    return UniqueFd(sys::OpenAt2(folder, name, kFlags, kStayHere));
  }

  int RemoveEntries(int inside, int depth) {
    // Reading and removing at once may skip entries: read from the start until nothing is left.
    for (;;) {
      bool removed_any = false;
      if (lseek(inside, 0, SEEK_SET) != 0) return errno;
      for (;;) {
        alignas(8) char buffer[4096];
        const long bytes = syscall(SYS_getdents64, inside, buffer, sizeof buffer);
        if (bytes < 0) return errno;
        if (bytes == 0) break;
        for (long at = 0; at < bytes;) {
          const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
          at += entry->d_reclen;
          const std::string_view name = entry->d_name;
          if (name == "." || name == "..") continue;
          if (const int error = Remove(inside, entry->d_name, depth); error != 0) return error;
          removed_any = true;
        }
      }
      if (!removed_any) return 0;
    }
  }

  // Into the top folder of the tree itself, whose listing is read again: a crash leaves nothing
  // beside.
  int MoveUp(int folder, const char* name) {
    for (int tries = 0; tries < 100000; ++tries) {
      const std::string up = ".deep-" + std::to_string(moved_++);
      constexpr unsigned kNoReplace = 1;
      if (syscall(SYS_renameat2, folder, name, top_fd_, up.c_str(), kNoReplace) == 0) return 0;
      if (errno != EEXIST) return errno;
    }
    return EEXIST;
  }

  int top_fd_;
  uint32_t moved_ = 0;
};

}  // namespace

Result<> RemoveTree(int parent_fd, const std::string& name) {
  if (unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  UniqueFd top(sys::OpenAt2(parent_fd, name.c_str(), kFlags, kStayHere));
  if (!top && errno == ENOENT) return {};
  Remover remover(top ? top.get() : parent_fd);
  const int error = remover.Remove(parent_fd, name.c_str(), 0);
  if (error != 0) return Fail(Step::kRemove, error);
  return {};
}

Result<UniqueFd> OpenStoreFolder(int store_fd, const std::string& path, Missing missing,
                                 Step step) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY;
  UniqueFd folder(sys::OpenAt2(store_fd, path.c_str(), kFlags, kernel::kBeneath));
  if (folder) return folder;
  if (errno != ENOENT || missing == Missing::kFail) return FailErrno(step);
  const size_t slash = path.rfind('/');
  UniqueFd parent;
  int parent_fd = store_fd;
  if (slash != std::string::npos) {
    auto opened = OpenStoreFolder(store_fd, path.substr(0, slash), missing, step);
    if (!opened) return opened;
    parent = std::move(*opened);
    parent_fd = parent.get();
  }
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (mkdirat(parent_fd, name.c_str(), 0700) != 0 && errno != EEXIST) return FailErrno(step);
  folder.reset(sys::OpenAt2(parent_fd, name.c_str(), kFlags, kernel::kBeneath));
  if (!folder) return FailErrno(step);
  return folder;
}

Result<> RemoveFolder(int store_fd, const std::string& folder, const std::string& trash) {
  const size_t slash = folder.rfind('/');
  UniqueFd parent;
  int parent_fd = store_fd;
  if (slash != std::string::npos) {
    auto opened = OpenStoreFolder(store_fd, folder.substr(0, slash), Missing::kFail, Step::kRemove);
    if (!opened) {
      if (opened.error().error == ENOENT) return {};
      return std::unexpected(opened.error());
    }
    parent = std::move(*opened);
    parent_fd = parent.get();
  }
  const std::string name = slash == std::string::npos ? folder : folder.substr(slash + 1);

  auto bin = OpenStoreFolder(store_fd, trash, Missing::kCreate, Step::kRemove);
  if (!bin) return std::unexpected(bin.error());
  static uint32_t next = 0;  // Single-threaded; the pid keeps the hands apart.
  for (int tries = 0; tries < 1000; ++tries) {
    const std::string fresh = std::to_string(getpid()) + "-" + std::to_string(next++);
    constexpr unsigned kNoReplace = 1;
    if (syscall(SYS_renameat2, parent_fd, name.c_str(), bin->get(), fresh.c_str(), kNoReplace) ==
        0) {
      return RemoveTree(bin->get(), fresh);
    }
    if (errno == ENOENT) return {};
    if (errno == EPERM) MakeRemovable(parent_fd, name.c_str());
    if (errno != EEXIST) return RemoveTree(parent_fd, name);
  }
  return RemoveTree(parent_fd, name);
}

}  // namespace caisson
