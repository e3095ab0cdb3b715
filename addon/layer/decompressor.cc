// zone: native
#include "layer/decompressor.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <limits>

#ifdef CAISSON_ZLIB
#include <zlib.h>
#endif
#ifdef CAISSON_ZSTD
#include <zstd.h>
#endif

namespace caisson::layer {
namespace {

class Plain final : public Decompressor {
 public:
  Result<size_t> Decode(Bytes* in, std::span<uint8_t> out) override {
    const size_t count = std::min(in->size(), out.size());
    if (count != 0) memcpy(out.data(), in->data(), count);
    *in = in->subspan(count);
    return count;
  }
  Result<> Finish() override { return {}; }
};

#ifdef CAISSON_ZLIB

class Gzip final : public Decompressor {
 public:
  Gzip() = default;
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip() override { (void)inflateEnd(&stream_); }

  [[nodiscard]] bool Open() {
    constexpr int kGzipOnly = 16;
    return inflateInit2(&stream_, MAX_WBITS + kGzipOnly) == Z_OK;
  }

  Result<size_t> Decode(Bytes* in, std::span<uint8_t> out) override {
    size_t made = 0;
    while (made == 0 && !in->empty()) {
      if (state_ == State::kBetween) {
        if (in->front() != 0) {
          if (inflateReset(&stream_) != Z_OK) return Bad("gzip");
          state_ = State::kMember;
        } else {
          state_ = State::kZeros;
        }
      }
      if (state_ == State::kZeros) {
        const auto other = std::ranges::find_if(*in, [](uint8_t byte) { return byte != 0; });
        if (other != in->end()) return Bad("gzip: something that is none after the last member");
        *in = {};
        break;
      }
      auto made_now = Inflate(in, out);
      if (!made_now) return made_now;
      made = *made_now;
    }
    // What zlib holds back although it has had all of its input.
    if (made == 0 && in->empty() && state_ == State::kMember && is_full_) return Inflate(in, out);
    return made;
  }

  Result<> Finish() override {
    if (state_ == State::kMember) return Bad("gzip: cut off");
    return {};
  }

 private:
  enum class State : uint8_t { kMember, kBetween, kZeros };

  Result<size_t> Inflate(Bytes* in, std::span<uint8_t> out) {
    constexpr size_t kMost = std::numeric_limits<uInt>::max();
    stream_.next_in = const_cast<Bytef*>(in->data());
    stream_.avail_in = static_cast<uInt>(std::min(in->size(), kMost));
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(std::min(out.size(), kMost));
    const uInt in_before = stream_.avail_in;
    const uInt out_before = stream_.avail_out;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    *in = in->subspan(in_before - stream_.avail_in);
    is_full_ = stream_.avail_out == 0;
    if (status == Z_STREAM_END) {
      state_ = State::kBetween;
    } else if (status == Z_MEM_ERROR) {
      return Fail(Step::kUnpackDecode, ENOMEM);
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      return Bad(std::string("gzip: ") + (stream_.msg != nullptr ? stream_.msg : "damaged"));
    }
    return out_before - stream_.avail_out;
  }

  z_stream stream_ = {};
  State state_ = State::kMember;
  bool is_full_ = false;
};

#endif
#ifdef CAISSON_ZSTD

class Zstd final : public Decompressor {
 public:
  Zstd() = default;
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  ~Zstd() override { (void)ZSTD_freeDCtx(context_); }

  [[nodiscard]] bool Open() {
    // What the program itself takes unless it is told otherwise.
    constexpr int kWindowLog = 27;
    context_ = ZSTD_createDCtx();
    return context_ != nullptr &&
           ZSTD_isError(ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kWindowLog)) == 0;
  }

  Result<size_t> Decode(Bytes* in, std::span<uint8_t> out) override {
    ZSTD_outBuffer to = {.dst = out.data(), .size = out.size(), .pos = 0};
    while (to.pos == 0 && (!in->empty() || is_full_)) {
      ZSTD_inBuffer from = {.src = in->data(), .size = in->size(), .pos = 0};
      const size_t wanted = ZSTD_decompressStream(context_, &to, &from);
      if (ZSTD_isError(wanted) != 0) {
        return Bad(std::string("zstd: ") + ZSTD_getErrorName(wanted));
      }
      *in = in->subspan(from.pos);
      is_within_ = wanted != 0;
      is_full_ = is_within_ && to.pos == to.size;
    }
    return to.pos;
  }

  Result<> Finish() override { return is_within_ ? Bad("zstd: cut off") : Result<>(); }

 private:
  ZSTD_DCtx* context_ = nullptr;
  bool is_within_ = true;  // a frame
  bool is_full_ = false;   // there may be output without more input
};

#endif

template <typename Kind>
[[maybe_unused]] Result<std::unique_ptr<Decompressor>> Opened() {
  auto made = std::make_unique<Kind>();
  if (!made->Open()) return Fail(Step::kUnpackDecode, ENOMEM);
  return made;
}

}  // namespace

Codec CodecOf(Bytes first) noexcept {
  const auto begins = [&](std::initializer_list<uint8_t> magic) {
    return first.size() >= magic.size() && std::equal(magic.begin(), magic.end(), first.begin());
  };
  if (begins({0x1f, 0x8b})) return Codec::kGzip;
  if (begins({0x28, 0xb5, 0x2f, 0xfd})) return Codec::kZstd;
  if (first.size() >= 4 && (first[0] & 0xf0) == 0x50 && first[1] == 0x2a && first[2] == 0x4d &&
      first[3] == 0x18) {
    return Codec::kZstd;  // a skippable frame
  }
  if (begins({'B', 'Z', 'h'})) return Codec::kBzip2;
  if (begins({0xfd, '7', 'z', 'X', 'Z', 0})) return Codec::kXz;
  return Codec::kPlain;
}

Result<std::unique_ptr<Decompressor>> Decompressor::Make(Codec codec, std::string* detail) {
  switch (codec) {
    case Codec::kPlain:
      return std::make_unique<Plain>();
    case Codec::kGzip:
#ifdef CAISSON_ZLIB
      return Opened<Gzip>();
#else
      *detail = "gzip";
      break;
#endif
    case Codec::kZstd:
#ifdef CAISSON_ZSTD
      return Opened<Zstd>();
#else
      *detail = "zstd";
      break;
#endif
    case Codec::kBzip2:
      *detail = "bzip2";
      break;
    case Codec::kXz:
      *detail = "xz";
      break;
  }
  return Fail(Step::kUnpackDecode, EOPNOTSUPP);
}

}  // namespace caisson::layer
