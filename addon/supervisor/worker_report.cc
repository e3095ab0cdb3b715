// zone: native
#include "supervisor/worker_report.h"

#include <unistd.h>

#include <string_view>

#include "base/retry_eintr.h"
#include "plan/protocol.h"

namespace caisson {

int WriteReport(int report_fd, const FieldWriter& report) {
  const Bytes body = report.bytes();
  const ssize_t written = RetryEintr([&] { return write(report_fd, body.data(), body.size()); });
  return written == static_cast<ssize_t>(body.size()) ? 0 : 1;
}

int ReportFailure(int report_fd, const Failure& failure, const std::string& path) {
  using protocol::Tag;
  // The end of a long path says more than its beginning.
  constexpr size_t kBytes = 2048;
  FieldWriter report;
  report.U64(Tag::kStep, static_cast<uint64_t>(failure.step))
      .U64(Tag::kErrno, static_cast<uint64_t>(failure.error))
      .U64(Tag::kIndex, failure.index)
      .String(Tag::kDetail,
              std::string_view(path).substr(path.size() > kBytes ? path.size() - kBytes : 0));
  (void)WriteReport(report_fd, report);
  return 1;
}

}  // namespace caisson
