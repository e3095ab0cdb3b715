// zone: native
#include "supervisor/log_writer.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/retry_eintr.h"
#include "supervisor/debug.h"

namespace caisson {

namespace {

struct RecordHeader {
  uint32_t payload_bytes;
  uint8_t stream;
  uint8_t flags;
  uint16_t zero;
  uint64_t time_ns;
};
static_assert(sizeof(RecordHeader) == 16);

constexpr size_t kMaxPayload = 64 * 1024;
constexpr int kRecordsPerTurn = 4;

// One for all writers: the loop is single-threaded.
alignas(16) uint8_t record_buffer[sizeof(RecordHeader) + kMaxPayload];

void PutHeader(uint32_t bytes, size_t index, uint8_t flags) {
  const RecordHeader header = {bytes, static_cast<uint8_t>(index + 1), flags, 0, RealtimeNs()};
  memcpy(record_buffer, &header, sizeof header);
}

}  // namespace

LogWriter::LogWriter(Loop& loop, Jobs& jobs, Options options, UniqueFd stdout_pipe,
                     UniqueFd stderr_pipe)
    : loop_(loop), jobs_(jobs), options_(std::move(options)) {
  streams_[0].pipe = std::move(stdout_pipe);
  streams_[1].pipe = std::move(stderr_pipe);
}

LogWriter::~LogWriter() {
  *alive_ = false;
  for (Stream& stream : streams_) loop_.Forget(&stream.token);
}

void LogWriter::Begin(UniqueFd file) {
  file_ = std::move(file);
  struct stat info = {};
  if (fstat(file_.get(), &info) == 0) file_bytes_ = static_cast<uint64_t>(info.st_size);
  Listen();
}

void LogWriter::Follow(UniqueFd terminal) {
  streams_[0].pipe = std::move(terminal);
  Listen();
}

void LogWriter::Listen() {
  for (size_t i = 0; i < 2; ++i) {
    Stream& stream = streams_[i];
    if (!stream.pipe || stream.token != 0) continue;
    stream.token = loop_.Watch(stream.pipe.get(), EPOLLIN, [this, i](uint32_t) { OnReady(i); });
  }
}

void LogWriter::OnReady(size_t index) {
  for (int i = 0; i < kRecordsPerTurn; ++i) {
    if (TakeSome(index) != Took::kSome) break;
  }
  MaybeDrained();
}

LogWriter::Took LogWriter::TakeSome(size_t index) {
  Stream& stream = streams_[index];
  if (!stream.pipe || rotating_) return Took::kFull;
  // A record ends where the file must: the bound holds to the byte, unless a file is tiny.
  size_t room = kMaxPayload;
  if (options_.max_bytes != 0) {
    const uint64_t used = file_bytes_ + sizeof(RecordHeader);
    const uint64_t left = options_.max_bytes > used ? options_.max_bytes - used : 0;
    if (left < 256 && file_bytes_ != 0) {
      Rotate();
      return Took::kFull;
    }
    room = std::min<uint64_t>(room, std::max<uint64_t>(left, 256));
  }
  const ssize_t bytes = RetryEintr(
      [&] { return read(stream.pipe.get(), record_buffer + sizeof(RecordHeader), room); });
  if (bytes > 0) {
    Write(index, static_cast<size_t>(bytes));
    return Took::kSome;
  }
  if (bytes == 0 || errno != EAGAIN) {
    loop_.Forget(&stream.token);
    stream.pipe.reset();
  }
  return Took::kNothing;
}

void LogWriter::Write(size_t index, size_t bytes) {
  Stream& stream = streams_[index];
  if (stream.lost != 0) {
    // First what is missing. The payload is in the buffer: the marker is written from the side.
    RecordHeader marker = {sizeof stream.lost, static_cast<uint8_t>(index + 1), kLost, 0,
                           RealtimeNs()};
    uint8_t record[sizeof marker + sizeof stream.lost];
    memcpy(record, &marker, sizeof marker);
    memcpy(record + sizeof marker, &stream.lost, sizeof stream.lost);
    const ssize_t written = RetryEintr([&] { return write(file_.get(), record, sizeof record); });
    if (written != static_cast<ssize_t>(sizeof record)) {
      if (written > 0) (void)ftruncate(file_.get(), static_cast<off_t>(file_bytes_));
      stream.lost += bytes;
      return;
    }
    file_bytes_ += sizeof record;
    stream.lost = 0;
  }
  PutHeader(static_cast<uint32_t>(bytes), index, 0);
  if (!WriteRecord(sizeof(RecordHeader) + bytes)) stream.lost += bytes;
}

bool LogWriter::WriteRecord(size_t total) {
  if (!file_) return false;
  size_t done = 0;
  while (done < total) {
    const ssize_t written =
        RetryEintr([&] { return write(file_.get(), record_buffer + done, total - done); });
    if (written <= 0) {
      // Half a record would make nonsense of all that follow.
      if (done != 0) (void)ftruncate(file_.get(), static_cast<off_t>(file_bytes_));
      return false;
    }
    done += static_cast<size_t>(written);
  }
  file_bytes_ += total;
  return true;
}

void LogWriter::Rotate() {
  if (rotating_) return;
  rotating_ = true;
  for (Stream& stream : streams_) loop_.Forget(&stream.token);
  Job job;
  job.urgency = Urgency::kKill;  // A writer waits for it.
  job.prepare = [path = options_.path, files = options_.files](Message& message) {
    message.kind = JobKind::kRotate;
    message.fields.String(JobTag::kFolder, path).U64(JobTag::kCount, files);
    return true;
  };
  job.done = [this, alive = alive_](Message reply) {
    if (*alive) OnRotated(std::move(reply));
  };
  jobs_.Submit(std::move(job));
}

void LogWriter::OnRotated(Message reply) {
  rotating_ = false;
  if (reply.ok() && reply.fd(Role::kLog)) {
    file_ = std::move(reply.fd(Role::kLog));
    struct stat info = {};
    file_bytes_ =
        fstat(file_.get(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : uint64_t{0};
  } else {
    // The old file goes on: from its start, for its bound must hold.
    Debug("log not rotated: errno %d", reply.failure.error);
    if (file_ && ftruncate(file_.get(), 0) == 0) file_bytes_ = 0;
  }
  Listen();
  MaybeDrained();
}

void LogWriter::Drain(std::function<void()> drained) {
  drained_ = std::move(drained);
  MaybeDrained();
}

// Whoever could write is dead: when the pipe is empty that was all, even if some stranger (who got
// hold of it through a socket) keeps it open.
void LogWriter::MaybeDrained() {
  if (!drained_) return;
  for (size_t i = 0; i < 2; ++i) {
    while (streams_[i].pipe) {
      const Took took = TakeSome(i);
      if (took == Took::kFull) return;
      if (took == Took::kNothing) break;
    }
  }
  for (Stream& stream : streams_) {
    loop_.Forget(&stream.token);
    stream.pipe.reset();
  }
  // Last, for it may destroy this object.
  std::exchange(drained_, nullptr)();
}

}  // namespace caisson
