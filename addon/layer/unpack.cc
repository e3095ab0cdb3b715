// zone: native
#include "layer/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "layer/applier.h"
#include "layer/blob_source.h"
#include "layer/decode_process.h"
#include "layer/filter.h"
#include "layer/ring.h"
#include "layer/tar_reader.h"
#include "plan/protocol.h"
#include "supervisor/kernel.h"
#include "supervisor/sha256.h"
#include "sys/credentials.h"

namespace caisson::layer {

using protocol::Tag;

namespace {

// As much as stays in the processor's cache between digesting and writing.
constexpr size_t kPiece = 256 << 10;

[[noreturn]] void RunDecoder(const BlobSource::Place& place, Ring* ring) {
  const int error = sys::CapSet(0, 0, 0) != 0 ? errno : InstallDecoderFilter();
  if (error == 0) {
    DecodeInto(place, ring);
  } else {
    ring->End({Step::kUnpack, 0, error, 0}, {});
  }
  _exit(0);
}

class Unpacker {
 public:
  explicit Unpacker(const UnpackPlan& plan) : plan_(plan) {}

  [[nodiscard]] Result<> Run(OverlayXattrs overlay, const BlobSource::Place& place, int report_fd);
  [[nodiscard]] FieldWriter Report(const Result<>& result) const;

 private:
  [[nodiscard]] Result<> OpenRoot();
  [[nodiscard]] Result<pid_t> StartDecoder(const BlobSource::Place& place, int report_fd);
  [[nodiscard]] Result<> Apply(pid_t decoder);
  [[nodiscard]] std::string Detail(const Failure& failure) const;

  const UnpackPlan& plan_;
  UniqueFd root_;
  Ring ring_;
  std::optional<Applier> applier_;
  std::optional<TarReader> reader_;
  Sha256 sha_;
  Sha256::Digest diff_id_ = {};
  uint64_t tar_bytes_ = 0;
};

Result<> Unpacker::OpenRoot() {
  // The umask would take bits from the modes given at creation. This process is ours alone.
  (void)umask(0);
  root_.reset(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_) return FailErrno(Step::kUnpackWrite);
  // The store's parent may hand down a default ACL (and a group, by its set-group-id bit).
  (void)fremovexattr(root_.get(), "system.posix_acl_default");
  (void)fremovexattr(root_.get(), "system.posix_acl_access");
  if (fchmod(root_.get(), 0700) != 0) return FailErrno(Step::kUnpackWrite);
  return {};
}

Result<pid_t> Unpacker::StartDecoder(const BlobSource::Place& place, int report_fd) {
  UniqueFd pidfd;
  const pid_t pid = kernel::Fork(0, &pidfd);
  if (pid < 0) return FailErrno(Step::kUnpack);
  if (pid == 0) {
    root_.reset();
    (void)close(report_fd);
    RunDecoder(place, &ring_);
  }
  (void)close(place.file_fd);
  if (place.feed_fd >= 0) (void)close(place.feed_fd);
  return pid;
}

Result<> Unpacker::Run(OverlayXattrs overlay, const BlobSource::Place& place, int report_fd) {
  if (auto opened = OpenRoot(); !opened) return opened;
  if (auto opened = ring_.Open(); !opened) return opened;
  const auto decoder = StartDecoder(place, report_fd);
  if (!decoder) return std::unexpected(decoder.error());
  if (const int error = InstallWriterFilter(); error != 0) return Fail(Step::kUnpack, error);
  applier_.emplace(root_.get(), overlay, plan_.max_entries);
  reader_.emplace(*applier_);
  return Apply(*decoder);
}

Result<> Unpacker::Apply(pid_t decoder) {
  for (;;) {
    const Bytes data = ring_.Wait(decoder, kPiece);
    if (data.empty()) break;
    tar_bytes_ += data.size();
    if (tar_bytes_ > plan_.max_bytes) {
      return Fail(Step::kUnpack, EFBIG, static_cast<uint32_t>(Tag::kUnpackMaxBytes));
    }
    sha_.Update(data.data(), data.size());
    if (auto fed = reader_->Feed(data); !fed) return fed;
    ring_.Consume(data.size());
  }
  if (const Failure failure = ring_.failure(); failure.step != Step::kNone) {
    return std::unexpected(failure);
  }
  if (auto finished = reader_->Finish(); !finished) return finished;
  diff_id_ = sha_.Finish();
  return applier_->Finish();
}

std::string Unpacker::Detail(const Failure& failure) const {
  if (failure.step == Step::kUnpackTar) return reader_->detail();
  if (failure.step == Step::kUnpackDecode) {
    const Bytes note = ring_.note();
    return {reinterpret_cast<const char*>(note.data()), note.size()};
  }
  if (!applier_) return {};
  // The end of a long path says more than its beginning. A field holds no NUL; nor does a path.
  constexpr size_t kBytes = 2048;
  const std::string& path = applier_->path();
  return path.substr(path.size() > kBytes ? path.size() - kBytes : 0);
}

FieldWriter Unpacker::Report(const Result<>& result) const {
  FieldWriter report;
  if (!result) {
    const Failure& failure = result.error();
    report.U64(Tag::kStep, static_cast<uint64_t>(failure.step))
        .U64(Tag::kErrno, static_cast<uint64_t>(failure.error))
        .U64(Tag::kIndex, failure.index)
        .String(Tag::kDetail, Detail(failure));
    return report;
  }
  Sha256::Digest blob = {};
  const Bytes note = ring_.note();
  if (note.size() == blob.size()) std::ranges::copy(note, blob.begin());
  report.String(Tag::kUnpackBlobDigest, "sha256:" + ToHex(blob))
      .String(Tag::kUnpackDiffId, "sha256:" + ToHex(diff_id_))
      .U64(Tag::kUnpackTarBytes, tar_bytes_)
      .U64(Tag::kUnpackEntries, applier_->entries())
      .U64(Tag::kUnpackOmitted, applier_->unsettled());
  if (applier_->hides_all()) report.U64(Tag::kUnpackHidesAll, 1);
  return report;
}

}  // namespace

int RunUnpack(const UnpackPlan& plan, OverlayXattrs overlay, int file_fd, int feed_fd,
              int report_fd) {
  const BlobSource::Place place = {
      .file_fd = file_fd, .feed_fd = feed_fd, .offset = plan.offset, .length = plan.length};
  Unpacker unpacker(plan);
  const Result<> result = unpacker.Run(overlay, place, report_fd);
  const FieldWriter report = unpacker.Report(result);
  const Bytes body = report.bytes();
  const ssize_t written = RetryEintr([&] { return write(report_fd, body.data(), body.size()); });
  return result && written == static_cast<ssize_t>(body.size()) ? 0 : 1;
}

}  // namespace caisson::layer
