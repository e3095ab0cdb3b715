// zone: child
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/number.h"
#include "child/small_file.h"
#include "child/steps.h"
#include "sys/device_nodes.h"

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

int PlaceFile(Context& context, int folder, const FileItem& file) noexcept {
  char name[12];
  WriteNumber(name, context.index);
  const int fd =
      openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, file.mode);
  if (fd < 0) return errno;
  int error = WriteAll(fd, file.content, file.bytes);
  (void)close(fd);
  if (error != 0) return error;
  return BindFrom(context, folder, name, file.path);
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
