// zone: native
#include "supervisor/body.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/retry_eintr.h"

namespace caisson {

namespace {

constexpr int kAddSeals = 1033;
constexpr int kGetSeals = 1034;
constexpr int kSealSeal = 1;
constexpr int kSealShrink = 2;
constexpr int kSealGrow = 4;
constexpr int kSealWrite = 8;
constexpr unsigned kMfdCloexec = 1;
constexpr unsigned kMfdAllowSealing = 2;
constexpr unsigned kMfdNoexecSeal = 8;

}  // namespace

Body::~Body() {
  if (mapped_ != nullptr) (void)munmap(const_cast<uint8_t*>(mapped_), mapped_bytes_);
}

Result<std::shared_ptr<Body>> Body::FromMemfd(UniqueFd memfd, size_t bytes) {
  constexpr int kNeeded = kSealShrink | kSealWrite;
  const int seals = fcntl(memfd.get(), kGetSeals);
  if (seals < 0 || (seals & kNeeded) != kNeeded) return Fail(Step::kProtocol, EPERM);
  struct stat info = {};
  if (fstat(memfd.get(), &info) != 0) return FailErrno(Step::kProtocol);
  if (static_cast<uint64_t>(info.st_size) < bytes) return Fail(Step::kProtocol, EBADMSG);
  auto body = std::make_shared<Body>();
  if (bytes != 0) {
    void* block = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, memfd.get(), 0);
    if (block == MAP_FAILED) return FailErrno(Step::kProtocol);
    body->mapped_ = static_cast<const uint8_t*>(block);
    body->mapped_bytes_ = bytes;
  }
  body->memfd_ = std::move(memfd);
  return body;
}

Result<UniqueFd> SealedBytes(Bytes bytes) {
  int fd = static_cast<int>(
      syscall(SYS_memfd_create, "caisson", kMfdCloexec | kMfdAllowSealing | kMfdNoexecSeal));
  // Kernels before 6.3 do not know the flag. Remove when 6.3 is the floor.
  if (fd < 0 && errno == EINVAL) {
    fd = static_cast<int>(syscall(SYS_memfd_create, "caisson", kMfdCloexec | kMfdAllowSealing));
  }
  if (fd < 0) return FailErrno(Step::kProtocol);
  UniqueFd memfd(fd);
  while (!bytes.empty()) {
    const ssize_t n = RetryEintr([&] { return write(memfd.get(), bytes.data(), bytes.size()); });
    if (n < 0) return FailErrno(Step::kProtocol);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  if (fcntl(memfd.get(), kAddSeals, kSealSeal | kSealShrink | kSealGrow | kSealWrite) != 0) {
    return FailErrno(Step::kProtocol);
  }
  return memfd;
}

}  // namespace caisson
