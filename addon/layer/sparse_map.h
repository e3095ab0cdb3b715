// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace caisson::layer {

// Where the content of a sparse file belongs, which lies in the archive without its holes.
struct SparsePiece {
  uint64_t offset;
  uint64_t bytes;
};

class SparseMap {
 public:
  // False: it overlaps the one before, ends beyond what a file can be, or there are too many.
  [[nodiscard]] bool Add(uint64_t offset, uint64_t bytes);
  // Pieces as decimal numbers with commas between them (format 0.1).
  [[nodiscard]] bool AddList(std::string_view text);

  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint64_t end() const noexcept { return end_; }
  [[nodiscard]] const std::vector<SparsePiece>& pieces() const noexcept { return pieces_; }

 private:
  std::vector<SparsePiece> pieces_;
  uint64_t bytes_ = 0;
  uint64_t end_ = 0;
};

// The map that format 1.0 has before the content: a number of pieces, then two numbers for each,
// one a line; blocks of 512 bytes, what is left of the last one is padding.
class SparseMapText {
 public:
  enum class State { kMore, kWhole, kBad };
  // Takes a block.
  [[nodiscard]] State Add(std::string_view block);
  [[nodiscard]] SparseMap Take() { return std::move(map_); }

 private:
  [[nodiscard]] bool Number(uint64_t value);

  SparseMap map_;
  std::optional<uint64_t> numbers_left_;
  std::optional<uint64_t> offset_;
  uint64_t value_ = 0;
  unsigned digits_ = 0;
};

// Decimal digits and nothing else, at most 2^63 - 1.
[[nodiscard]] std::optional<uint64_t> ParseDecimal(std::string_view text) noexcept;

}  // namespace caisson::layer
