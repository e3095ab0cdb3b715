// zone: native
#pragma once

#include <stdint.h>

#include <string>

#include "base/fields.h"
#include "base/result.h"

namespace caisson::layer {

// What an Unpack asks for.
struct UnpackPlan {
  std::string target;      // store-relative folder to be made
  uint64_t offset = 0;     // where the blob begins in its file
  uint64_t length = 0;     // of the blob
  uint64_t max_bytes = 0;  // of its tar archive
  uint64_t max_entries = 0;
};

// Failure{kParse} with the field as its index. Does not look at the target's form.
[[nodiscard]] Result<UnpackPlan> ParseUnpack(Bytes body);

}  // namespace caisson::layer
