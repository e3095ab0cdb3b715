// zone: child
#include "child/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "sys/magic.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

constexpr int kMaxLinks = 40;  // as many as the kernel follows

int OpenInRoot(int root, const char* path, uint64_t flags, uint64_t resolve = 0) noexcept {
  if (CAISSON_GUARD(kInRoot)) return sys::OpenAt2(root, path, flags, sys::kInRoot | resolve);
  while (*path == '/') ++path;
  return sys::OpenAt2(root, *path == '\0' ? "." : path, flags, resolve);
}

bool Refuses(Links links) noexcept {
  return links == Links::kRefuse && CAISSON_GUARD(kRealFolders);
}

// The way still to go and the way gone, as text: plain components without links, so that ".." is
// the component before. Each folder is opened anew from the root by openat2, which holds us inside
// whatever the text says.
struct Walk {
  char done[PATH_MAX] = {};
  char rest[PATH_MAX] = {};
  int links = 0;

  // Takes the next component off `rest`; empty at the end.
  void TakeComponent(char* component) noexcept {
    size_t at = 0;
    while (rest[at] == '/') ++at;
    size_t length = 0;
    while (rest[at + length] != '\0' && rest[at + length] != '/') ++length;
    memcpy(component, rest + at, length);
    component[length] = '\0';
    memmove(rest, rest + at + length, strlen(rest + at + length) + 1);
  }

  [[nodiscard]] bool IsLast() const noexcept {
    size_t at = 0;
    while (rest[at] == '/') ++at;
    return rest[at] == '\0';
  }

  void Leave() noexcept {
    char* slash = strrchr(done, '/');
    if (slash == nullptr) slash = done;
    *slash = '\0';
  }

  [[nodiscard]] int Enter(const char* component) noexcept {
    const size_t used = strlen(done);
    const size_t length = strlen(component);
    if (used + 1 + length >= sizeof done) return ENAMETOOLONG;
    if (used != 0) done[used] = '/';
    memcpy(done + used + (used != 0 ? 1 : 0), component, length + 1);
    return 0;
  }

  // The link's text goes before the rest of the way.
  [[nodiscard]] int Follow(int parent, const char* component) noexcept {
    if (++links > kMaxLinks) return ELOOP;
    char text[PATH_MAX];
    const ssize_t length = readlinkat(parent, component, text, sizeof text - 1);
    if (length < 0) return errno;
    const auto size = static_cast<size_t>(length);
    const size_t left = strlen(rest);
    if (size + 1 + left >= sizeof rest) return ENAMETOOLONG;
    if (text[0] == '/') done[0] = '\0';
    memmove(rest + size + 1, rest, left + 1);
    memcpy(rest, text, size);
    rest[size] = '/';
    return 0;
  }
};

// One component: opened, or made and opened. `*is_link` when it is a link, which is then not made.
int OpenComponent(int parent, const char* name, TargetKind kind, Target* target,
                  bool* is_link) noexcept {
  for (int attempt = 0; attempt < 2; ++attempt) {
    const int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
      struct stat info;
      if (fstat(fd, &info) != 0) {
        const int error = errno;
        (void)close(fd);
        return error;
      }
      *is_link = S_ISLNK(info.st_mode);
      target->fd = fd;
      return 0;
    }
    if (errno != ENOENT) return errno;
    const int made = kind == TargetKind::kFolder ? mkdirat(parent, name, 0755)
                                                 : mknodat(parent, name, S_IFREG | 0644, 0);
    // EEXIST: somebody was quicker; look again, once.
    if (made == 0) {
      target->made = true;
    } else if (errno != EEXIST) {
      return errno;
    }
  }
  return ENOENT;
}

int MakeTarget(int root, const char* path, TargetKind kind, Links links, Target* target) noexcept {
  Walk walk;
  const size_t length = strlen(path);
  if (length >= sizeof walk.rest) return ENAMETOOLONG;
  memcpy(walk.rest, path, length + 1);

  char component[PATH_MAX];
  for (;;) {
    walk.TakeComponent(component);
    if (component[0] == '\0') {
      // The path (or a link's text) ended in "..", "." or a slash: what was reached is the target.
      if (kind == TargetKind::kFile) return EISDIR;
      target->fd = OpenInRoot(root, walk.done[0] == '\0' ? "." : walk.done, O_PATH | O_DIRECTORY);
      return target->fd >= 0 ? 0 : errno;
    }
    if (strcmp(component, ".") == 0) continue;
    if (strcmp(component, "..") == 0) {
      walk.Leave();
      continue;
    }
    const int parent =
        OpenInRoot(root, walk.done[0] == '\0' ? "." : walk.done, O_PATH | O_DIRECTORY);
    if (parent < 0) return errno;
    const bool last = walk.IsLast();
    Target reached;
    bool is_link = false;
    int error =
        OpenComponent(parent, component, last ? kind : TargetKind::kFolder, &reached, &is_link);
    if (error == 0 && is_link && CAISSON_GUARD(kInRoot)) {
      (void)close(reached.fd);
      reached.fd = -1;
      error = Refuses(links) ? ELOOP : walk.Follow(parent, component);
    } else if (error == 0 && last) {
      (void)close(parent);
      *target = reached;
      return 0;
    } else if (error == 0) {
      error = walk.Enter(component);
    }
    if (reached.fd >= 0) (void)close(reached.fd);
    (void)close(parent);
    if (error != 0) return error;
  }
}

int CheckKind(int fd, TargetKind kind) noexcept {
  struct stat info;
  if (fstat(fd, &info) != 0) return errno;
  if (kind == TargetKind::kFolder) return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
  return S_ISDIR(info.st_mode) ? EISDIR : 0;
}

}  // namespace

int OpenExisting(int root, const char* path, Links links, int* fd) noexcept {
  *fd = OpenInRoot(root, path, O_PATH, Refuses(links) ? RESOLVE_NO_SYMLINKS : 0);
  return *fd >= 0 ? 0 : errno;
}

int OpenTarget(int root, const char* path, TargetKind kind, Links links, Target* target) noexcept {
  int error = OpenExisting(root, path, links, &target->fd);
  if (error == ENOENT) error = MakeTarget(root, path, kind, links, target);
  if (error != 0) return error;
  error = CheckKind(target->fd, kind);
  if (error == 0) return 0;
  (void)close(target->fd);
  target->fd = -1;
  return error;
}

int OpenMountPoint(int root, const char* path, TargetKind kind, Target* target) noexcept {
  // Without a link on the way it is where it says.
  int error = OpenTarget(root, path, kind, Links::kRefuse, target);
  if (error != ELOOP) return error;
  error = OpenTarget(root, path, kind, Links::kFollow, target);
  const bool asked = strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0;
  if (error != 0 || asked || !CAISSON_GUARD(kKernelTargets)) return error;
  if (!sys::IsOn(target->fd, sys::kProcMagic) && !sys::IsOn(target->fd, sys::kSysfsMagic)) return 0;
  (void)close(target->fd);
  target->fd = -1;
  return ELOOP;
}

}  // namespace caisson::child
