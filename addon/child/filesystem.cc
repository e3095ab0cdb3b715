// zone: child
#include "child/filesystem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "child/target.h"
#include "sys/mount.h"

namespace caisson::child {
namespace {

// fsconfig(2) takes no longer string; the plan's parser has refused longer options.
constexpr size_t kMaxOption = 256;

bool IsLeftOut(const FileSystem& fs, const char* option) noexcept {
  return fs.without != nullptr && strncmp(option, fs.without, strlen(fs.without)) == 0;
}

int SetOption(int context, const char* option) noexcept {
  const char* equals = strchr(option, '=');
  if (equals == nullptr) return sys::FsFlag(context, option) == 0 ? 0 : errno;
  char key[kMaxOption];
  const auto length = static_cast<size_t>(equals - option);
  if (length >= sizeof key) return EINVAL;
  memcpy(key, option, length);
  key[length] = '\0';
  return sys::FsString(context, key, equals + 1) == 0 ? 0 : errno;
}

int Configure(int context, const FileSystem& fs) noexcept {
  // What mountinfo shows as the source.
  if (sys::FsString(context, "source", fs.type) != 0) return errno;
  if (fs.label != nullptr && sys::FsString(context, "context", fs.label) != 0) return errno;
  for (const char* option : fs.more) {
    if (option == nullptr) break;
    if (const int error = SetOption(context, option); error != 0) return error;
  }
  for (const char* option : fs.data) {
    if (IsLeftOut(fs, option)) continue;
    if (const int error = SetOption(context, option); error != 0) return error;
  }
  return sys::FsCreate(context) == 0 ? 0 : errno;
}

bool Append(char* text, size_t size, size_t* used, const char* option) noexcept {
  const size_t length = strlen(option);
  if (*used + 1 + length >= size) return false;
  if (*used != 0) text[(*used)++] = ',';
  memcpy(text + *used, option, length + 1);
  *used += length;
  return true;
}

// mount(2) by path, the path being "." in the target. Where an outer filter refuses fsopen(2) to
// us; remove when none does.
int MountClassic(const FileSystem& fs, int target) noexcept {
  char data[4096] = {};
  size_t used = 0;
  for (const char* option : fs.more) {
    if (option == nullptr) break;
    if (!Append(data, sizeof data, &used, option)) return E2BIG;
  }
  for (const char* option : fs.data) {
    if (!IsLeftOut(fs, option) && !Append(data, sizeof data, &used, option)) return E2BIG;
  }
  if (fs.label != nullptr) {
    // A level has commas.
    char option[512] = "context=\"";
    constexpr size_t kPrefix = sizeof "context=\"" - 1;
    const size_t length = strlen(fs.label);
    if (kPrefix + length + 2 > sizeof option) return E2BIG;
    memcpy(option + kPrefix, fs.label, length);
    memcpy(option + kPrefix + length, "\"", 2);
    if (!Append(data, sizeof data, &used, option)) return E2BIG;
  }
  if (fchdir(target) != 0) return errno;
  return sys::Mount(fs.type, ".", fs.type, sys::MountFlags(fs.attr), data) == 0 ? 0 : errno;
}

// Ends `context`.
int MountContext(int context, const FileSystem& fs, int* mount) noexcept {
  int error = Configure(context, fs);
  if (error == 0) {
    *mount = sys::FsMount(context, fs.attr);
    if (*mount < 0) error = errno;
  }
  (void)close(context);
  return error;
}

}  // namespace

int MakeDetached(const FileSystem& fs, int* mount) noexcept {
  const int context = sys::FsOpen(fs.type);
  return context < 0 ? errno : MountContext(context, fs, mount);
}

int MountOver(const FileSystem& fs, int root, const char* path, int target, int* mount) noexcept {
  const int context = sys::FsOpen(fs.type);
  if (context < 0 && (errno == ENOSYS || errno == EPERM)) {
    if (const int error = MountClassic(fs, target); error != 0) return error;
    // `target` still leads to the folder beneath.
    return OpenExisting(root, path, Links::kRefuse, mount);
  }
  if (context < 0) return errno;
  int error = MountContext(context, fs, mount);
  if (error == 0 && sys::MoveMount(*mount, target) != 0) {
    error = errno;
    (void)close(*mount);
    *mount = -1;
  }
  return error;
}

}  // namespace caisson::child
