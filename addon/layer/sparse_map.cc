// zone: native
#include "layer/sparse_map.h"

#include <algorithm>
#include <utility>

namespace caisson::layer {
namespace {

constexpr uint64_t kMostBytes = INT64_MAX;
// 16 MiB of memory; GNU tar cannot have more pieces in a file than its blocks.
constexpr size_t kMostPieces = 1 << 20;
constexpr unsigned kMostDigits = 19;

}  // namespace

std::optional<uint64_t> ParseDecimal(std::string_view text) noexcept {
  if (text.empty() || text.size() > kMostDigits) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');  // below 10^19: no overflow
  }
  if (value > kMostBytes) return std::nullopt;
  return value;
}

bool SparseMap::Add(uint64_t offset, uint64_t bytes) {
  if (offset < end_ || offset > kMostBytes || bytes > kMostBytes - offset) return false;
  if (pieces_.size() >= kMostPieces) return false;
  pieces_.push_back({.offset = offset, .bytes = bytes});
  bytes_ += bytes;  // of pieces that do not overlap: below kMostBytes
  end_ = offset + bytes;
  return true;
}

bool SparseMap::AddList(std::string_view text) {
  const auto next = [&text] {
    const size_t comma = std::min(text.find(','), text.size());
    const auto number = ParseDecimal(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    return number;
  };
  if (text.ends_with(',')) return false;
  while (!text.empty()) {
    const auto offset = next();
    const auto bytes = next();
    if (!offset || !bytes || !Add(*offset, *bytes)) return false;
  }
  return true;
}

bool SparseMapText::Number(uint64_t value) {
  if (!numbers_left_) {
    if (value > kMostPieces) return false;
    numbers_left_ = value * 2;
    return true;
  }
  --*numbers_left_;
  if (!offset_) {
    offset_ = value;
    return true;
  }
  return map_.Add(*std::exchange(offset_, std::nullopt), value);
}

SparseMapText::State SparseMapText::Add(std::string_view block) {
  for (const char c : block) {
    if (numbers_left_ == 0u) return State::kWhole;
    if (c == '\n') {
      if (digits_ == 0 || value_ > kMostBytes || !Number(value_)) return State::kBad;
      value_ = 0;
      digits_ = 0;
      continue;
    }
    if (c < '0' || c > '9' || ++digits_ > kMostDigits) return State::kBad;
    value_ = value_ * 10 + static_cast<unsigned>(c - '0');
  }
  return numbers_left_ == 0u ? State::kWhole : State::kMore;
}

}  // namespace caisson::layer
