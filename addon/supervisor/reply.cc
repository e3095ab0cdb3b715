// zone: native
#include "supervisor/reply.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/retry_eintr.h"

namespace caisson {

using protocol::Tag;

FieldWriter FailedBody(const Failure& failure, const std::string& detail) {
  FieldWriter body;
  body.U64(Tag::kStep, static_cast<uint64_t>(failure.step))
      .U64(Tag::kErrno, static_cast<uint64_t>(failure.error))
      .U64(Tag::kIndex, failure.index);
  if (!detail.empty()) body.String(Tag::kDetail, std::string_view(detail).substr(0, 8192));
  return body;
}

void ReportStartFailure(int channel_fd, const Failure& failure, const std::string& detail) {
  const FieldWriter body = FailedBody(failure, detail);
  protocol::Header header = {};
  header.type = static_cast<uint16_t>(protocol::Type::kFailed);
  header.body_bytes = static_cast<uint32_t>(body.bytes().size());
  iovec parts[2] = {{&header, sizeof header},
                    {const_cast<uint8_t*>(body.bytes().data()), body.bytes().size()}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  // If it does not get through, the end of the channel says it less well.
  (void)RetryEintr([&] { return sendmsg(channel_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

}  // namespace caisson
