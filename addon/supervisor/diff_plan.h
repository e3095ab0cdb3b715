// zone: native
#pragma once

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/result.h"
#include "plan/protocol.h"
#include "supervisor/id_view.h"

namespace caisson {

// What a Diff asks for.
struct DiffPlan {
  protocol::DiffForm form = {};
  std::string upper;                // store-relative
  std::vector<std::string> layers;  // store-relative, lowest first; or
  std::string lower;                // one folder of the host
  std::vector<std::string> mount_points;
  IdView ids;
};

// Failure{kParse} with the field as its index.
[[nodiscard]] Result<DiffPlan> ParseDiff(Bytes body);

}  // namespace caisson
