// zone: native
#include "layer/blob_source.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "base/retry_eintr.h"

namespace caisson::layer {

Result<> BlobSource::AwaitFeed(uint64_t wanted) {
  while (there_ < wanted) {
    auto* to = reinterpret_cast<uint8_t*>(&said_) + said_bytes_;
    const ssize_t bytes =
        RetryEintr([&] { return read(place_.feed_fd, to, sizeof said_ - said_bytes_); });
    if (bytes < 0) return FailErrno(Step::kUnpack);
    if (bytes == 0) return Fail(Step::kUnpack, ECANCELED);
    said_bytes_ += static_cast<size_t>(bytes);
    if (said_bytes_ < sizeof said_) continue;
    said_bytes_ = 0;
    if (said_ < there_ || said_ > place_.length) return Fail(Step::kUnpack, EPROTO);
    there_ = said_;
  }
  return {};
}

Result<Bytes> BlobSource::Next(size_t least) {
  const uint64_t left = place_.length - done_;
  if (left == 0) return Bytes();
  if (auto awaited = AwaitFeed(done_ + std::clamp<uint64_t>(left, 1, least)); !awaited) {
    return std::unexpected(awaited.error());
  }
  const size_t wanted = std::min<uint64_t>(kBuffer, there_ - done_);
  size_t got = 0;
  do {
    const auto at = static_cast<off_t>(place_.offset + done_ + got);
    const ssize_t bytes =
        RetryEintr([&] { return pread(place_.file_fd, buffer_.get() + got, wanted - got, at); });
    if (bytes < 0) return FailErrno(Step::kUnpack);
    if (bytes == 0) return Fail(Step::kUnpack, ENODATA);
    got += static_cast<size_t>(bytes);
  } while (got < std::min(least, wanted));
  done_ += got;
  sha_.Update(buffer_.get(), got);
  return Bytes(buffer_.get(), got);
}

}  // namespace caisson::layer
