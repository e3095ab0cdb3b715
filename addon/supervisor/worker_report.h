// zone: native
#pragma once

#include <string>

#include "base/failure.h"
#include "base/fields.h"

// What a worker says at its end, into a pipe that nobody reads before.
namespace caisson {

// 0: all of it was written, which is the worker's exit status then.
[[nodiscard]] int WriteReport(int report_fd, const FieldWriter& report);
// kStep, kErrno, kIndex, and as kDetail the path that it was about. Always 1.
[[nodiscard]] int ReportFailure(int report_fd, const Failure& failure, const std::string& path);

}  // namespace caisson
