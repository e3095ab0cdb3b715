// zone: native
#include "supervisor/import_copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/retry_eintr.h"

namespace caisson {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;

struct Extent {
  uint64_t begin;
  uint64_t end;
};

// The first data at or after `from`, within `size`. File systems that know no holes have one
// extent.
Extent NextData(int fd, uint64_t from, uint64_t size) noexcept {
  const off_t data = lseek(fd, static_cast<off_t>(from), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? Extent{size, size} : Extent{from, size};
  const off_t hole = lseek(fd, data, SEEK_HOLE);
  const uint64_t begin = std::min(static_cast<uint64_t>(data), size);
  const uint64_t end = hole < 0 ? size : std::min(static_cast<uint64_t>(hole), size);
  return {begin, end};
}

bool MayHaveHoles(int fd, uint64_t size) noexcept {
  struct stat status;
  return fstat(fd, &status) == 0 && static_cast<uint64_t>(status.st_blocks) * 512 < size;
}

Result<> WriteAll(int fd, const uint8_t* data, size_t bytes, uint64_t at) {
  while (bytes != 0) {
    const ssize_t written =
        RetryEintr([&] { return pwrite(fd, data, bytes, static_cast<off_t>(at)); });
    if (written < 0) return FailErrno(Step::kImportCopy);
    data += written;
    at += static_cast<uint64_t>(written);
    bytes -= static_cast<size_t>(written);
  }
  return {};
}

}  // namespace

ContentCopier::ContentCopier(CanonicalTar& tar)
    : tar_(tar), buffer_(std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes)) {}

bool ContentCopier::Clone(int source_fd, int target_fd) {
  if (!may_clone_) return false;
  if (ioctl(target_fd, FICLONE, source_fd) == 0) return true;
  // One refusal speaks for the tree: one mount on either side. Others (a swap file, no space) do
  // not.
  if (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == ENOSYS) {
    may_clone_ = false;
  }
  return false;
}

Result<> ContentCopier::Digest(int fd, uint64_t size) {
  return Transfer(fd, -1, size);
}

Result<> ContentCopier::Copy(int source_fd, int target_fd, uint64_t size) {
  return Transfer(source_fd, target_fd, size);
}

// Every byte has to come through here for the digest, so copy_file_range(2) would only read it
// twice.
Result<> ContentCopier::Transfer(int source_fd, int target_fd, uint64_t size) {
  const bool holes = MayHaveHoles(source_fd, size);
  uint64_t at = 0;
  uint64_t written_end = 0;
  while (at < size) {
    const Extent extent = holes ? NextData(source_fd, at, size) : Extent{at, size};
    tar_.Zeros(extent.begin - at);
    at = extent.begin;
    bool ended = extent.begin == extent.end;
    while (at < extent.end) {
      const size_t part = std::min<uint64_t>(extent.end - at, kBufferBytes);
      const ssize_t got =
          RetryEintr([&] { return pread(source_fd, buffer_.get(), part, static_cast<off_t>(at)); });
      if (got < 0) return FailErrno(Step::kImportSource);
      if (got == 0) {
        ended = true;
        break;
      }
      const auto bytes = static_cast<size_t>(got);
      if (target_fd >= 0) {
        if (auto result = WriteAll(target_fd, buffer_.get(), bytes, at); !result) return result;
        written_end = at + bytes;
      }
      tar_.Data(buffer_.get(), bytes);
      at += bytes;
    }
    if (ended) break;
  }
  tar_.Zeros(size - at);
  if (target_fd >= 0 && written_end < size &&
      RetryEintr([&] { return ftruncate(target_fd, static_cast<off_t>(size)); }) != 0) {
    return FailErrno(Step::kImportCopy);
  }
  return {};
}

}  // namespace caisson
