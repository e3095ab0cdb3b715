// zone: native
#pragma once

#include <stdint.h>
#include <string.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace caisson {

// The body of a message is a sequence of fields:
//
//   u16 tag · u16 0 · u32 bytes · payload · zero padding to the next multiple of 8
//
// A payload is a u64 (8 bytes), a string (no NUL inside, none at the end), raw bytes, or fields
// again. All numbers are little-endian. A tag may repeat: that makes a list, in order.
using Bytes = std::span<const uint8_t>;

struct Field {
  uint16_t tag = 0;
  Bytes payload;

  // Exactly eight bytes, else nothing.
  [[nodiscard]] bool ReadU64(uint64_t* value) const noexcept {
    if (payload.size() != sizeof *value) return false;
    memcpy(value, payload.data(), sizeof *value);
    return true;
  }
  // A string without NUL, else nothing.
  [[nodiscard]] bool ReadString(std::string_view* value) const noexcept {
    if (!payload.empty() && memchr(payload.data(), 0, payload.size()) != nullptr) return false;
    *value = {reinterpret_cast<const char*>(payload.data()), payload.size()};
    return true;
  }
};

// Walks the fields of `body`; never reads outside it. After Next() has returned false, `ok()` says
// whether the end was reached cleanly or something was malformed.
class FieldReader {
 public:
  explicit FieldReader(Bytes body) noexcept : rest_(body) {}

  [[nodiscard]] bool Next(Field* field) noexcept {
    constexpr size_t kHeader = 8;
    if (rest_.empty()) return false;
    if (rest_.size() < kHeader) return Malformed();
    uint16_t tag = 0;
    uint16_t zero = 0;
    uint32_t bytes = 0;
    memcpy(&tag, rest_.data(), 2);
    memcpy(&zero, rest_.data() + 2, 2);
    memcpy(&bytes, rest_.data() + 4, 4);
    const uint64_t padded = (uint64_t{bytes} + 7) & ~uint64_t{7};
    if (zero != 0 || padded > rest_.size() - kHeader) return Malformed();
    field->tag = tag;
    field->payload = rest_.subspan(kHeader, bytes);
    rest_ = rest_.subspan(kHeader + padded);
    return true;
  }

  [[nodiscard]] bool ok() const noexcept { return ok_; }

 private:
  bool Malformed() noexcept {
    ok_ = false;
    rest_ = {};
    return false;
  }

  Bytes rest_;
  bool ok_ = true;
};

// Appends fields to a growing body.
class FieldWriter {
 public:
  template <typename Tag>
  FieldWriter& U64(Tag tag, uint64_t value) {
    return Raw(static_cast<uint16_t>(tag), &value, sizeof value);
  }
  template <typename Tag>
  FieldWriter& String(Tag tag, std::string_view value) {
    return Raw(static_cast<uint16_t>(tag), value.data(), value.size());
  }
  template <typename Tag>
  FieldWriter& Blob(Tag tag, Bytes value) {
    return Raw(static_cast<uint16_t>(tag), value.data(), value.size());
  }
  template <typename Tag>
  FieldWriter& Group(Tag tag, const FieldWriter& fields) {
    return Blob(tag, fields.bytes());
  }

  [[nodiscard]] Bytes bytes() const noexcept { return body_; }
  void clear() noexcept { body_.clear(); }

 private:
  FieldWriter& Raw(uint16_t tag, const void* data, size_t size) {
    const uint16_t zero = 0;
    const auto bytes = static_cast<uint32_t>(size);
    const size_t at = body_.size();
    body_.resize(at + 8 + ((size + 7) & ~size_t{7}), 0);
    memcpy(body_.data() + at, &tag, 2);
    memcpy(body_.data() + at + 2, &zero, 2);
    memcpy(body_.data() + at + 4, &bytes, 4);
    if (size != 0) memcpy(body_.data() + at + 8, data, size);
    return *this;
  }

  std::vector<uint8_t> body_;
};

}  // namespace caisson
