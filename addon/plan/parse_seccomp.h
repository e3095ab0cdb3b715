// zone: native
#pragma once

#include <linux/filter.h>

#include "plan/field_checks.h"

namespace caisson::plan {

// The filter that the fields of a kSeccomp group ask for, on this machine and kernel and for a
// process with these capabilities. What was compiled once is found again by the content of the
// group: the last few are kept for the life of the process, which has one thread.
[[nodiscard]] Result<List<sock_filter>> ParseSeccomp(Bytes group, uint64_t capabilities,
                                                     Arena& arena);

}  // namespace caisson::plan
