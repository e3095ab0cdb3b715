// zone: native
#include "layer/tar_header.h"

#include <string.h>

#include <algorithm>

namespace caisson::layer {

bool TarHeader::IsZero() const noexcept {
  return block_[0] == 0 && memcmp(block_, block_ + 1, kTarBlock - 1) == 0;
}

bool TarHeader::HasRightSum() const noexcept {
  constexpr size_t kSum = 148;
  constexpr size_t kSumBytes = 8;
  int64_t unsigned_sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const char byte = i >= kSum && i < kSum + kSumBytes ? ' ' : block_[i];
    unsigned_sum += static_cast<uint8_t>(byte);
    signed_sum += static_cast<int8_t>(byte);
  }
  const auto said = Number(kSum, kSumBytes);
  return said && (*said == unsigned_sum || *said == signed_sum);
}

std::string_view TarHeader::prefix() const noexcept {
  constexpr size_t kMagic = 257;
  constexpr size_t kPrefix = 345;
  if (memcmp(block_ + kMagic, "ustar\0", 6) != 0) return {};
  // star has its times where the end of the prefix would be.
  const bool star = memcmp(block_ + 508, "tar\0", 4) == 0;
  return Text(kPrefix, star ? 131 : 155);
}

std::string_view TarHeader::Text(size_t offset, size_t bytes) const noexcept {
  return {block_ + offset, strnlen(block_ + offset, bytes)};
}

std::optional<int64_t> TarHeader::Number(size_t offset, size_t bytes) const noexcept {
  const auto* field = reinterpret_cast<const uint8_t*>(block_ + offset);
  if ((field[0] & 0x80) != 0) {
    // Two's complement, big-endian, in all bits but the first.
    const bool negative = (field[0] & 0x40) != 0;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < bytes; ++i) {
      const uint8_t byte = i == 0 ? (negative ? field[0] : field[0] & 0x7f) : field[i];
      // What is shifted out must be sign alone.
      const auto top = static_cast<uint8_t>(value >> 56);
      if (top != (negative ? 0xff : 0)) return std::nullopt;
      value = value << 8 | byte;
    }
    if (((value >> 63) != 0) != negative) return std::nullopt;
    return static_cast<int64_t>(value);
  }
  size_t at = 0;
  while (at < bytes && (field[at] == ' ' || field[at] == 0)) ++at;
  uint64_t value = 0;
  for (; at < bytes && field[at] >= '0' && field[at] <= '7'; ++at)
    value = value << 3 | (field[at] & 7u);
  // At most twelve digits of three bits: it fits.
  while (at < bytes && (field[at] == ' ' || field[at] == 0)) ++at;
  if (at != bytes) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<TarHeader::Piece> TarHeader::PieceAt(size_t offset, size_t at) const noexcept {
  constexpr size_t kHalf = 12;
  const size_t begin = offset + at * 2 * kHalf;
  if (block_[begin + kHalf] == 0) return std::nullopt;
  return Piece{.offset = Number(begin, kHalf), .bytes = Number(begin + kHalf, kHalf)};
}

}  // namespace caisson::layer
