// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string>

#include "base/fields.h"
#include "base/result.h"

namespace caisson::layer {

// How a blob is compressed, which its first bytes tell.
enum class Codec : uint8_t { kPlain, kGzip, kZstd, kBzip2, kXz };
// Enough bytes to tell by, of a blob that has as many.
constexpr size_t kCodecBytes = 6;
[[nodiscard]] Codec CodecOf(Bytes first) noexcept;

// Turns a compressed stream, in pieces of any size, into what it was made of. Several streams one
// after the other are one (gzip members, zstd frames; skippable frames are skipped). After the last
// gzip member zeros may follow, nothing else. Does nothing but compute, and allocates at most the
// window: 32 KiB for gzip, 128 MiB for zstd.
//
// Failures are of kUnpackDecode: EBADMSG for what is no such stream, EOPNOTSUPP for a codec that
// this build does not have, with its name in `detail`.
class Decompressor {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Decompressor>> Make(Codec codec, std::string* detail);
  virtual ~Decompressor() = default;

  // Takes from the front of `in`, fills the front of `out`, and says how much of it. 0: more input
  // is needed, or none, at the end.
  [[nodiscard]] virtual Result<size_t> Decode(Bytes* in, std::span<uint8_t> out) = 0;
  // There is no more input, and Decode has said 0: fails where the stream is cut off.
  [[nodiscard]] virtual Result<> Finish() = 0;
  [[nodiscard]] const std::string& detail() const noexcept { return detail_; }

 protected:
  [[nodiscard]] std::unexpected<Failure> Bad(std::string what) {
    detail_ = std::move(what);
    return Fail(Step::kUnpackDecode, EBADMSG);
  }

 private:
  std::string detail_;
};

}  // namespace caisson::layer
