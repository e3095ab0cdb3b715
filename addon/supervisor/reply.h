// zone: native
#pragma once

#include <string>

#include "base/failure.h"
#include "base/fields.h"
#include "plan/protocol.h"

namespace caisson {

// The body of a Failed.
[[nodiscard]] FieldWriter FailedBody(const Failure& failure, const std::string& detail);

// Says on the channel why there will be no supervisor, before anything else runs. Never blocks.
void ReportStartFailure(int channel_fd, const Failure& failure, const std::string& detail);

}  // namespace caisson
