// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <optional>
#include <span>
#include <string_view>

// One block of a tar archive, field by field.
namespace caisson::layer {

constexpr size_t kTarBlock = 512;

class TarHeader {
 public:
  explicit TarHeader(std::span<const uint8_t, kTarBlock> block) noexcept
      : block_(reinterpret_cast<const char*>(block.data())) {}

  [[nodiscard]] bool IsZero() const noexcept;
  // POSIX sums unsigned bytes; some old programs summed signed ones.
  [[nodiscard]] bool HasRightSum() const noexcept;

  [[nodiscard]] std::string_view name() const noexcept { return Text(0, 100); }
  [[nodiscard]] std::string_view link() const noexcept { return Text(157, 100); }
  // What stands before the name, where the format has that: POSIX and star, not GNU.
  [[nodiscard]] std::string_view prefix() const noexcept;
  [[nodiscard]] char type() const noexcept { return block_[156]; }

  // Nothing where the field holds no number, or one that does not fit.
  [[nodiscard]] std::optional<int64_t> mode() const noexcept { return Number(100, 8); }
  [[nodiscard]] std::optional<int64_t> uid() const noexcept { return Number(108, 8); }
  [[nodiscard]] std::optional<int64_t> gid() const noexcept { return Number(116, 8); }
  [[nodiscard]] std::optional<int64_t> size() const noexcept { return Number(124, 12); }
  [[nodiscard]] std::optional<int64_t> mtime() const noexcept { return Number(136, 12); }
  [[nodiscard]] std::optional<int64_t> major() const noexcept { return Number(329, 8); }
  [[nodiscard]] std::optional<int64_t> minor() const noexcept { return Number(337, 8); }

  // GNU's old sparse format: a few pieces in the header, more in blocks that follow.
  static constexpr size_t kPiecesInHeader = 4;
  static constexpr size_t kPiecesInExtension = 21;
  [[nodiscard]] std::optional<int64_t> real_size() const noexcept { return Number(483, 12); }
  [[nodiscard]] bool has_extension() const noexcept { return block_[482] != 0; }
  [[nodiscard]] bool extension_goes_on() const noexcept { return block_[504] != 0; }
  // Of the piece at `at` of those in the header, or in an extension; nothing: there are no more.
  struct Piece {
    std::optional<int64_t> offset;
    std::optional<int64_t> bytes;
  };
  [[nodiscard]] std::optional<Piece> piece(size_t at) const noexcept { return PieceAt(386, at); }
  [[nodiscard]] std::optional<Piece> extension_piece(size_t at) const noexcept {
    return PieceAt(0, at);
  }

 private:
  [[nodiscard]] std::string_view Text(size_t offset, size_t bytes) const noexcept;
  // Octal digits with spaces or NULs around them, or GNU's base 256.
  [[nodiscard]] std::optional<int64_t> Number(size_t offset, size_t bytes) const noexcept;
  [[nodiscard]] std::optional<Piece> PieceAt(size_t offset, size_t at) const noexcept;

  const char* block_;
};

}  // namespace caisson::layer
