// zone: native
#include "supervisor/export.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "plan/protocol.h"
#include "supervisor/canonical_tar.h"
#include "supervisor/import_attributes.h"
#include "supervisor/import_copy.h"
#include "supervisor/sorted_names.h"
#include "supervisor/worker_report.h"

namespace caisson {
namespace {

// As deep as an import goes.
constexpr unsigned kMaxDepth = 2048;

class Exporter {
 public:
  explicit Exporter(int tar_fd) : tar_(tar_fd), copier_(tar_) {}

  [[nodiscard]] Result<> Run(int layer_fd);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const CanonicalTar& tar() const noexcept { return tar_; }
  [[nodiscard]] const Sha256::Digest& digest() const noexcept { return digest_; }

 private:
  using Inode = std::pair<dev_t, ino_t>;

  [[nodiscard]] Result<> Children(int folder_fd, unsigned depth);
  [[nodiscard]] Result<> Child(int folder_fd, const char* name, unsigned depth);
  [[nodiscard]] Result<> Folder(int fd, const struct stat& status, unsigned depth);
  [[nodiscard]] Result<> File(int fd, const struct stat& status);
  [[nodiscard]] Result<> Special(int folder_fd, const char* name, const struct stat& status);
  // Whether its inode came before: then this is all there is to say of it.
  [[nodiscard]] bool Again(const struct stat& status);
  [[nodiscard]] TarEntry Entry(const struct stat& status, const std::vector<Xattr>* xattrs) const;
  // Nobody reads any more, or what takes it is full.
  [[nodiscard]] Result<> Written() const;

  CanonicalTar tar_;
  ContentCopier copier_;
  std::map<Inode, std::string> linked_;  // first name of each inode that has several
  std::string path_;                     // of the entry at hand, below the layer
  Sha256::Digest digest_ = {};
};

Result<> Exporter::Run(int layer_fd) {
  struct stat status;
  const UniqueFd layer(openat(layer_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!layer || fstat(layer.get(), &status) != 0) return FailErrno(Step::kExport);
  if (auto result = Folder(layer.get(), status, 0); !result) return result;
  digest_ = tar_.Finish();
  return Written();
}

Result<> Exporter::Folder(int fd, const struct stat& status, unsigned depth) {
  auto xattrs = ReadXattrs(fd, Owners::kAny);
  if (!xattrs) return std::unexpected(xattrs.error());
  tar_.Begin(Entry(status, &*xattrs));
  tar_.End();
  return Children(fd, depth + 1);
}

Result<> Exporter::Children(int folder_fd, unsigned depth) {
  if (depth > kMaxDepth) return Fail(Step::kExport, ENAMETOOLONG);
  auto names = SortedNames(folder_fd, Step::kExport);
  if (!names) return std::unexpected(names.error());
  const size_t length = path_.size();
  for (const std::string& name : *names) {
    if (length != 0) path_ += '/';
    path_ += name;
    if (auto result = Child(folder_fd, name.c_str(), depth); !result) return result;
    if (auto result = Written(); !result) return result;
    path_.resize(length);
  }
  return {};
}

Result<> Exporter::Child(int folder_fd, const char* name, unsigned depth) {
  struct stat status;
  if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
    return FailErrno(Step::kExport);
  }
  const bool is_folder = S_ISDIR(status.st_mode);
  if (!is_folder && !S_ISREG(status.st_mode)) return Special(folder_fd, name, status);
  if (!is_folder && Again(status)) return {};

  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  const UniqueFd child(openat(folder_fd, name, kFlags | (is_folder ? O_DIRECTORY : 0)));
  if (!child || fstat(child.get(), &status) != 0) return FailErrno(Step::kExport);
  if (is_folder) return Folder(child.get(), status, depth);
  return S_ISREG(status.st_mode) ? File(child.get(), status) : Fail(Step::kExport, EAGAIN);
}

Result<> Exporter::File(int fd, const struct stat& status) {
  auto xattrs = ReadXattrs(fd, Owners::kAny);
  if (!xattrs) return std::unexpected(xattrs.error());
  tar_.Begin(Entry(status, &*xattrs));
  if (auto result = copier_.Digest(fd, static_cast<uint64_t>(status.st_size)); !result) {
    return result;
  }
  tar_.End();
  return {};
}

Result<> Exporter::Special(int folder_fd, const char* name, const struct stat& status) {
  const mode_t type = status.st_mode & S_IFMT;
  // A socket has no place in an archive, a whiteout none in a layer that has no archive of its own.
  if (type == S_IFSOCK) return {};
  if (type == S_IFCHR && status.st_rdev == makedev(0, 0)) return {};
  if (Again(status)) return {};
  auto xattrs = ReadXattrsAt(folder_fd, name, Owners::kAny);
  if (!xattrs) return std::unexpected(xattrs.error());
  char link[PATH_MAX];
  TarEntry entry = Entry(status, &*xattrs);
  if (type == S_IFLNK) {
    const ssize_t bytes = readlinkat(folder_fd, name, link, sizeof link);
    if (bytes < 0) return FailErrno(Step::kExport);
    entry.mode = S_IFLNK | 0777;
    entry.link_path = {link, static_cast<size_t>(bytes)};
  }
  tar_.Begin(entry);
  tar_.End();
  return {};
}

bool Exporter::Again(const struct stat& status) {
  if (status.st_nlink < 2) return false;
  const auto [first, fresh] = linked_.try_emplace({status.st_dev, status.st_ino}, path_);
  if (fresh) return false;
  TarEntry entry = Entry(status, nullptr);
  if (S_ISLNK(status.st_mode)) entry.mode = S_IFLNK | 0777;
  entry.hard_link = TarEntry::HardLink::kYes;
  entry.link_path = first->second;
  tar_.Begin(entry);
  tar_.End();
  return true;
}

TarEntry Exporter::Entry(const struct stat& status, const std::vector<Xattr>* xattrs) const {
  TarEntry entry;
  entry.path = path_;
  entry.mode = status.st_mode;
  entry.uid = status.st_uid;
  entry.gid = status.st_gid;
  entry.mtime = status.st_mtim;
  entry.device = status.st_rdev;
  entry.xattrs = xattrs;
  if (S_ISREG(status.st_mode)) entry.size = static_cast<uint64_t>(status.st_size);
  return entry;
}

Result<> Exporter::Written() const {
  if (tar_.copy_error() != 0) return Fail(Step::kExport, tar_.copy_error());
  return {};
}

}  // namespace

int RunExport(int layer_fd, int tar_fd, int report_fd) {
  // Nobody reads any more: an error of the write.
  (void)signal(SIGPIPE, SIG_IGN);
  Exporter exporter(tar_fd);
  const Result<> result = exporter.Run(layer_fd);
  if (!result) return ReportFailure(report_fd, result.error(), exporter.path());
  FieldWriter report;
  report.String(protocol::Tag::kImportResult, "sha256:" + ToHex(exporter.digest()))
      .U64(protocol::Tag::kImportTarBytes, exporter.tar().bytes());
  return WriteReport(report_fd, report);
}

}  // namespace caisson
