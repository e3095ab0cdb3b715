// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/steps.h"
#include "child/target.h"
#include "sys/device_nodes.h"
#include "sys/mount.h"

namespace caisson::child {
namespace {

int WriteAll(int fd, const uint8_t* content, size_t bytes) noexcept {
  while (bytes > 0) {
    const ssize_t written = write(fd, content, bytes);
    if (written < 0) return errno;
    content += written;
    bytes -= static_cast<size_t>(written);
  }
  return 0;
}

void WriteNumber(char* text, uint32_t number) noexcept {
  char digits[12];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) *text++ = digits[--count];
  *text = '\0';
}

int PlaceFile(Context& context, int folder, const FileItem& file) noexcept {
  char name[12];
  WriteNumber(name, context.index);
  const int fd =
      openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file.mode);
  if (fd < 0) return errno;
  int error = WriteAll(fd, file.content, file.bytes);
  (void)close(fd);
  if (error != 0) return error;

  const int mount =
      sys::OpenTree(folder, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  if (mount < 0) return errno;
  Target target;
  error = OpenTarget(context.rootfs, file.path, TargetKind::kFile, Links::kFollow, &target);
  if (error == 0) {
    if (sys::MoveMount(mount, target.fd) != 0) error = errno;
    (void)close(target.fd);
  }
  (void)close(mount);
  return error;
}

}  // namespace

// On a private tmpfs and bound over the target: making a file on a disk's file system costs about a
// millisecond, and the image's own file stays as it is.
int PlaceFiles(Context& context) noexcept {
  const List<FileItem>& files = context.launch->files;
  if (files.count == 0) return 0;
  const int folder =
      openat(context.devices, sys::kFilesFolder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return errno;
  int error = 0;
  for (uint32_t i = 0; i < files.count && error == 0; ++i) {
    context.index = i;
    error = PlaceFile(context, folder, files.items[i]);
  }
  (void)close(folder);
  return error;
}

}  // namespace caisson::child
