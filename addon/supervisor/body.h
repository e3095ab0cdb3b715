// zone: native
#pragma once

#include <memory>
#include <vector>

#include "base/fields.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

// The body of a message: bytes of our own, or a sealed memfd, mapped.
class Body {
 public:
  Body() = default;
  explicit Body(Bytes inline_bytes) : own_(inline_bytes.begin(), inline_bytes.end()) {}
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  ~Body();

  // Unsealed, a later truncation would turn a read into SIGBUS. Failure{kProtocol}.
  [[nodiscard]] static Result<std::shared_ptr<Body>> FromMemfd(UniqueFd memfd, size_t bytes);

  [[nodiscard]] Bytes bytes() const noexcept {
    return mapped_ != nullptr ? Bytes{mapped_, mapped_bytes_} : Bytes{own_};
  }
  // -1: the bytes are not in a memfd.
  [[nodiscard]] int memfd() const noexcept { return memfd_.get(); }

 private:
  std::vector<uint8_t> own_;
  UniqueFd memfd_;
  const uint8_t* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
};

// A sealed memfd with these bytes.
[[nodiscard]] Result<UniqueFd> SealedBytes(Bytes bytes);

}  // namespace caisson
