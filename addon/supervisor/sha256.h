// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <string>

namespace caisson {

// SHA-256 (FIPS 180-4) of a stream. Uses the CPU's own instructions where it has them, found out
// once per process.
class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  // Tests hold the two ways against each other; everybody else takes the default.
  enum class Way { kFastest, kPortable };
  explicit Sha256(Way way = Way::kFastest) noexcept;

  void Update(const void* data, size_t bytes) noexcept;
  // As Update with `bytes` zero bytes.
  void UpdateZeros(uint64_t bytes) noexcept;
  // The digest of everything so far. The object must not be used afterwards.
  [[nodiscard]] Digest Finish() noexcept;

  // Whether the CPU's instructions are in use.
  [[nodiscard]] static bool Accelerated() noexcept;

 private:
  using Blocks = void (*)(uint32_t state[8], const uint8_t* data, size_t blocks) noexcept;

  uint32_t state_[8];
  uint64_t total_ = 0;
  uint8_t rest_[64];
  size_t rest_bytes_ = 0;
  Blocks blocks_;
};

[[nodiscard]] std::string ToHex(const Sha256::Digest& digest);

}  // namespace caisson
