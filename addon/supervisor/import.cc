// zone: native
#include "supervisor/import.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
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
#include "supervisor/open_entry.h"
#include "supervisor/sorted_names.h"
#include "supervisor/worker_report.h"

namespace caisson {
namespace {

// Two descriptors a level, and a path that programs can still name.
constexpr unsigned kMaxDepth = 2048;
// How often an entry that changes its type under our hands is looked at again.
constexpr int kLooks = 3;

struct Target {
  int folder_fd;
  const char* name;
};

class Importer {
 public:
  Importer(int target_parent_fd, int tar_fd) : tar_(tar_fd), copier_(tar_) {
    struct stat status;
    if (fstat(target_parent_fd, &status) == 0) store_ = {status.st_dev, status.st_ino};
  }

  [[nodiscard]] Result<> Run(int source_fd, int target_parent_fd, const char* target_name);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] uint64_t tar_bytes() const noexcept { return tar_.bytes(); }
  [[nodiscard]] const Sha256::Digest& digest() const noexcept { return digest_; }

 private:
  using Inode = std::pair<dev_t, ino_t>;

  [[nodiscard]] Result<> Children(int source_fd, int target_fd, unsigned depth);
  [[nodiscard]] Result<> Child(int source_fd, const char* name, int target_fd, unsigned depth);
  [[nodiscard]] Result<> Folder(int source_fd, Target target, struct stat status, unsigned depth);
  [[nodiscard]] Result<> File(int source_fd, Target target, struct stat status);
  [[nodiscard]] Result<> Special(int source_folder_fd, Target target, struct stat status);
  // What lies on another mount: `status` without content or children.
  [[nodiscard]] Result<> Stub(Target target, struct stat status);
  // Makes a hard link if the inode came before; else remembers it and returns false.
  [[nodiscard]] Result<bool> Again(Target target, const struct stat& status);

  [[nodiscard]] TarEntry Entry(const struct stat& status, const std::vector<Xattr>* xattrs) const;
  void Squash(struct stat* status) const;

  CanonicalTar tar_;
  ContentCopier copier_;
  Owners owners_ = Owners::kAny;
  UniqueFd target_root_;
  Inode store_ = {};
  std::map<Inode, std::string> linked_;  // first name of each inode that has several
  std::string path_;                     // of the entry at hand, below the source
  uint64_t bytes_ = 0;
  Sha256::Digest digest_ = {};
};

TarEntry Importer::Entry(const struct stat& status, const std::vector<Xattr>* xattrs) const {
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

void Importer::Squash(struct stat* status) const {
  if (owners_ == Owners::kAny) return;
  // What stat(2) says of an owner that is not mapped (/proc/sys/kernel/overflowuid).
  constexpr uid_t kNobody = 65534;
  if (owners_ == Owners::kSelf || status->st_uid == kNobody) status->st_uid = 0;
  if (owners_ == Owners::kSelf || status->st_gid == kNobody) status->st_gid = 0;
}

Result<> Importer::Run(int source_fd, int target_parent_fd, const char* target_name) {
  // The umask would take bits from the modes given at creation. This process is ours alone.
  (void)umask(0);

  UniqueFd source;
  auto opened = OpenEntry(source_fd, ".", O_DIRECTORY, Step::kImportSource, &source);
  if (!opened) return std::unexpected(opened.error());
  if (*opened != Opened::kYes) return Fail(Step::kImportSource, ENOTDIR);
  struct stat status;
  if (fstat(source.get(), &status) != 0) return FailErrno(Step::kImportSource);

  if (mkdirat(target_parent_fd, target_name, 0700) != 0) return FailErrno(Step::kImportTarget);
  target_root_.reset(
      openat(target_parent_fd, target_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!target_root_) return FailErrno(Step::kImportTarget);
  owners_ = ProbeOwners(target_root_.get());
  // The store's parent may hand down a default ACL (and a group, by its set-group-id bit).
  (void)fremovexattr(target_root_.get(), "system.posix_acl_default");
  (void)fremovexattr(target_root_.get(), "system.posix_acl_access");
  if (fchmod(target_root_.get(), 0700) != 0) return FailErrno(Step::kImportTarget);

  Squash(&status);
  auto xattrs = ReadXattrs(source.get(), owners_);
  if (!xattrs) return std::unexpected(xattrs.error());
  tar_.Begin(Entry(status, &*xattrs));
  tar_.End();
  if (auto result = Children(source.get(), target_root_.get(), 1); !result) return result;
  if (auto result = ApplyAttributes(target_root_.get(), status, *xattrs); !result) return result;

  digest_ = tar_.Finish();
  if (tar_.copy_error() != 0) return Fail(Step::kImport, tar_.copy_error());
  // With delayed allocation a full disk may show only here.
  if (syncfs(target_root_.get()) != 0) return FailErrno(Step::kImportCopy);
  return {};
}

Result<> Importer::Children(int source_fd, int target_fd, unsigned depth) {
  if (depth > kMaxDepth) return Fail(Step::kImportSource, ENAMETOOLONG);
  auto names = SortedNames(source_fd, Step::kImportSource);
  if (!names) return std::unexpected(names.error());
  const size_t length = path_.size();
  for (const std::string& name : *names) {
    if (length != 0) path_ += '/';
    path_ += name;
    if (name.starts_with(".wh.")) return Fail(Step::kImportSource, EINVAL);
    if (auto result = Child(source_fd, name.c_str(), target_fd, depth); !result) return result;
    path_.resize(length);
  }
  return {};
}

Result<> Importer::Child(int source_fd, const char* name, int target_fd, unsigned depth) {
  const Target target = {.folder_fd = target_fd, .name = name};
  for (int look = 0; look < kLooks; ++look) {
    struct stat status;
    if (fstatat(source_fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
      if (errno == ENOENT) return {};
      return FailErrno(Step::kImportSource);
    }
    const bool folder = S_ISDIR(status.st_mode);
    if (!folder && !S_ISREG(status.st_mode)) return Special(source_fd, target, status);

    UniqueFd child;
    auto opened = OpenEntry(source_fd, name, folder ? O_DIRECTORY | O_NOATIME : O_NOATIME,
                            Step::kImportSource, &child);
    if (!opened) return std::unexpected(opened.error());
    if (*opened == Opened::kGone) return {};
    if (*opened == Opened::kOtherMount) return Stub(target, status);
    if (*opened == Opened::kChanged) continue;

    // What counts from here on is what was opened.
    if (fstat(child.get(), &status) != 0) return FailErrno(Step::kImportSource);
    if (S_ISDIR(status.st_mode)) return Folder(child.get(), target, status, depth);
    if (S_ISREG(status.st_mode)) return File(child.get(), target, status);
  }
  return Fail(Step::kImportSource, EAGAIN);
}

Result<> Importer::Folder(int source_fd, Target target, struct stat status, unsigned depth) {
  // The folder that holds the copy would never end.
  if (Inode{status.st_dev, status.st_ino} == store_) return Stub(target, status);
  Squash(&status);
  auto xattrs = ReadXattrs(source_fd, owners_);
  if (!xattrs) return std::unexpected(xattrs.error());
  if (mkdirat(target.folder_fd, target.name, 0700) != 0) return FailErrno(Step::kImportTarget);
  const UniqueFd copy(
      openat(target.folder_fd, target.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!copy) return FailErrno(Step::kImportTarget);
  tar_.Begin(Entry(status, &*xattrs));
  tar_.End();
  if (auto result = Children(source_fd, copy.get(), depth + 1); !result) return result;
  return ApplyAttributes(copy.get(), status, *xattrs);
}

Result<> Importer::File(int source_fd, Target target, struct stat status) {
  Squash(&status);
  if (status.st_nlink > 1) {
    auto again = Again(target, status);
    if (!again) return std::unexpected(again.error());
    if (*again) return {};
  }
  auto xattrs = ReadXattrs(source_fd, owners_);
  if (!xattrs) return std::unexpected(xattrs.error());
  const UniqueFd copy(openat(target.folder_fd, target.name,
                             O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                             status.st_mode & 0777));
  if (!copy) return FailErrno(Step::kImportTarget);

  Result<> content;
  if (status.st_size != 0 && copier_.Clone(source_fd, copy.get())) {
    struct stat cloned;
    if (fstat(copy.get(), &cloned) != 0) return FailErrno(Step::kImportCopy);
    status.st_size = cloned.st_size;
    tar_.Begin(Entry(status, &*xattrs));
    content = copier_.Digest(copy.get(), static_cast<uint64_t>(status.st_size));
  } else {
    tar_.Begin(Entry(status, &*xattrs));
    content = copier_.Copy(source_fd, copy.get(), static_cast<uint64_t>(status.st_size));
  }
  if (!content) return content;
  tar_.End();
  bytes_ += static_cast<uint64_t>(status.st_size);
  return ApplyAttributes(copy.get(), status, *xattrs);
}

Result<> Importer::Special(int source_folder_fd, Target target, struct stat status) {
  const mode_t type = status.st_mode & S_IFMT;
  const bool device = type == S_IFCHR || type == S_IFBLK;
  if (type == S_IFSOCK || (device && owners_ != Owners::kAny)) return {};
  if (type == S_IFCHR && status.st_rdev == makedev(0, 0)) return {};
  Squash(&status);

  char link[PATH_MAX];
  ssize_t link_bytes = 0;
  if (type == S_IFLNK) {
    link_bytes = readlinkat(source_folder_fd, target.name, link, sizeof link - 1);
    if (link_bytes < 0) {
      // Replaced meanwhile: as if it had gone.
      if (errno == ENOENT || errno == EINVAL) return {};
      return FailErrno(Step::kImportSource);
    }
    link[link_bytes] = '\0';
  }
  if (status.st_nlink > 1) {
    auto again = Again(target, status);
    if (!again) return std::unexpected(again.error());
    if (*again) return {};
  }
  auto xattrs = ReadXattrsAt(source_folder_fd, target.name, owners_);
  if (!xattrs) return std::unexpected(xattrs.error());
  const int made = type == S_IFLNK
                       ? symlinkat(link, target.folder_fd, target.name)
                       : mknodat(target.folder_fd, target.name, type | 0600, status.st_rdev);
  if (made != 0) return FailErrno(Step::kImportTarget);
  TarEntry entry = Entry(status, &*xattrs);
  // The kernel says 0777 of every link; so does the stream, whatever a file system says.
  if (type == S_IFLNK) entry.mode = S_IFLNK | 0777;
  entry.link_path = {link, static_cast<size_t>(link_bytes)};
  tar_.Begin(entry);
  tar_.End();
  return ApplyAttributesAt(target.folder_fd, target.name, status, *xattrs);
}

Result<> Importer::Stub(Target target, struct stat status) {
  const std::vector<Xattr> none;
  Squash(&status);
  status.st_size = 0;
  const bool folder = S_ISDIR(status.st_mode);
  if (folder && mkdirat(target.folder_fd, target.name, 0700) != 0) {
    return FailErrno(Step::kImportTarget);
  }
  const int flags = folder ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
  const UniqueFd copy(
      openat(target.folder_fd, target.name, flags | O_NOFOLLOW | O_CLOEXEC, status.st_mode & 0777));
  if (!copy) return FailErrno(Step::kImportTarget);
  tar_.Begin(Entry(status, nullptr));
  tar_.End();
  return ApplyAttributes(copy.get(), status, none);
}

Result<bool> Importer::Again(Target target, const struct stat& status) {
  const auto [first, fresh] = linked_.try_emplace({status.st_dev, status.st_ino}, path_);
  if (fresh) return false;
  // The first name was made by us in a folder nobody else writes: it holds no link to follow.
  if (linkat(target_root_.get(), first->second.c_str(), target.folder_fd, target.name, 0) != 0) {
    return FailErrno(Step::kImportTarget);
  }
  // The attributes are those of the copy: of the first look, should they have changed since.
  struct stat copy;
  if (fstatat(target.folder_fd, target.name, &copy, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno(Step::kImportTarget);
  }
  TarEntry entry = Entry(copy, nullptr);
  if (S_ISLNK(copy.st_mode)) entry.mode = S_IFLNK | 0777;
  entry.hard_link = TarEntry::HardLink::kYes;
  entry.link_path = first->second;
  tar_.Begin(entry);
  tar_.End();
  return true;
}

}  // namespace

int RunImportAndTar(int source_fd, int target_parent_fd, const char* target_name, int report_fd,
                    int tar_fd) {
  using protocol::Tag;
  Importer importer(target_parent_fd, tar_fd);
  const Result<> result = importer.Run(source_fd, target_parent_fd, target_name);
  if (!result) return ReportFailure(report_fd, result.error(), importer.path());
  FieldWriter report;
  report.String(Tag::kImportResult, "sha256:" + ToHex(importer.digest()))
      .U64(Tag::kImportBytes, importer.bytes())
      .U64(Tag::kImportTarBytes, importer.tar_bytes());
  return WriteReport(report_fd, report);
}

int RunImport(int source_fd, int target_parent_fd, const char* target_name, int report_fd) {
  return RunImportAndTar(source_fd, target_parent_fd, target_name, report_fd, -1);
}

}  // namespace caisson
