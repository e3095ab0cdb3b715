// zone: native
#pragma once

#include <stdint.h>

#include <memory>
#include <string>

#include "base/fields.h"
#include "base/result.h"
#include "supervisor/sha256.h"

namespace caisson::layer {

// The bytes of a blob that lie, or come to lie, in a file, and their digest.
class BlobSource {
 public:
  // Which bytes of `file_fd` they are. `feed_fd` is -1, or a pipe that says, by a u64 at a time in
  // host order, how many of them are in the file by now. Both are borrowed.
  struct Place {
    int file_fd = -1;
    int feed_fd = -1;
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  explicit BlobSource(const Place& place)
      : place_(place),
        there_(place.feed_fd < 0 ? place.length : 0),
        buffer_(std::make_unique_for_overwrite<uint8_t[]>(kBuffer)) {}

  // The next bytes, valid until the next call; `least` of them where there are as many. Empty: that
  // was all. Waits for the feed: its end before all was there is Failure{kUnpack, ECANCELED}, a
  // file that is shorter than it was said to be Failure{kUnpack, ENODATA}.
  [[nodiscard]] Result<Bytes> Next(size_t least);
  [[nodiscard]] Sha256::Digest Digest() { return sha_.Finish(); }

 private:
  static constexpr size_t kBuffer = 256 << 10;

  [[nodiscard]] Result<> AwaitFeed(uint64_t wanted);

  Place place_;
  uint64_t there_;     // in the file
  uint64_t done_ = 0;  // given out
  std::unique_ptr<uint8_t[]> buffer_;
  Sha256 sha_;
  uint64_t said_ = 0;  // half of a number that the feed has told
  size_t said_bytes_ = 0;
};

}  // namespace caisson::layer
