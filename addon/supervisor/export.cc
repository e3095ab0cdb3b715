// zone: native
#include "supervisor/export.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "layer/filter.h"
#include "layer/layer_path.h"
#include "plan/protocol.h"
#include "supervisor/canonical_tar.h"
#include "supervisor/changes.h"
#include "supervisor/import_attributes.h"
#include "supervisor/import_copy.h"
#include "supervisor/worker_report.h"

namespace caisson {

using protocol::DiffForm;

namespace {

class Archive final : public TreeVisitor {
 public:
  Archive(const Tree& tree, DiffForm form, int out_fd)
      : tree_(tree), form_(form), tar_(out_fd), copier_(tar_) {}

  [[nodiscard]] Result<> Folder(const Visited& folder) override;
  [[nodiscard]] Result<> File(const Visited& file) override;
  [[nodiscard]] Result<> Special(const Visited& entry) override;
  [[nodiscard]] Result<> Removed(const Visited& entry) override;
  [[nodiscard]] Result<> Opaque(const Visited& folder) override;
  [[nodiscard]] Result<> Finish();

  [[nodiscard]] FieldWriter Report() const;

 private:
  using Inode = std::pair<dev_t, ino_t>;

  // Whether its inode came before: then this is all there is to say of it.
  [[nodiscard]] bool Again(const Visited& entry);
  // A file that is no file of the tree.
  [[nodiscard]] Result<> Whiteout(std::string_view path, std::string_view name);
  [[nodiscard]] TarEntry Entry(const Visited& visited, const std::vector<Xattr>* xattrs) const;
  [[nodiscard]] Result<std::vector<Xattr>> Seen(const Visited& visited,
                                                Result<std::vector<Xattr>> xattrs) const;
  [[nodiscard]] Result<> Begin(const TarEntry& entry);
  // Nobody reads any more, or what takes it is full.
  [[nodiscard]] Result<> Written() const;

  const Tree& tree_;
  DiffForm form_;
  CanonicalTar tar_;
  ContentCopier copier_;
  std::map<Inode, std::string> linked_;  // first name of each inode that has several
  uint64_t entries_ = 0;
  Sha256::Digest digest_ = {};
};

// What is a container's loses what the unpacker would not give it back; see AttributeRules.
Result<std::vector<Xattr>> Archive::Seen(const Visited& visited,
                                         Result<std::vector<Xattr>> xattrs) const {
  if (!xattrs || tree_.lower_fd < 0) return xattrs;
  std::erase_if(*xattrs, [](const Xattr& xattr) {
    return xattr.name.starts_with("user.caisson.") || xattr.name.starts_with("trusted.caisson.");
  });
  if (visited.side == Visited::Side::kUpper) tree_.ids.Show(&*xattrs);
  return xattrs;
}

Result<> Archive::Begin(const TarEntry& entry) {
  const std::string_view name = layer::Split(entry.path).name;
  if (form_ == DiffForm::kLayer && name.starts_with(layer::kWhiteoutPrefix)) {
    return Fail(Step::kExport, EINVAL);
  }
  if (!entry.path.empty()) ++entries_;
  tar_.Begin(entry);
  return {};
}

Result<> Archive::Folder(const Visited& folder) {
  const auto xattrs = Seen(folder, ReadXattrs(folder.fd, Owners::kAny));
  if (!xattrs) return std::unexpected(xattrs.error());
  if (auto begun = Begin(Entry(folder, &*xattrs)); !begun) return begun;
  tar_.End();
  struct stat below;
  if (folder.path.empty() && folder.lower_fd >= 0 && fstat(folder.lower_fd, &below) == 0) {
    // The top is always there. Whether it counts says what it was.
    const struct stat& now = folder.status;
    if (now.st_mode != below.st_mode || now.st_uid != below.st_uid || now.st_gid != below.st_gid) {
      ++entries_;
    }
  }
  return Written();
}

Result<> Archive::File(const Visited& file) {
  if (Again(file)) return Written();
  const auto xattrs = Seen(file, ReadXattrs(file.fd, Owners::kAny));
  if (!xattrs) return std::unexpected(xattrs.error());
  if (auto begun = Begin(Entry(file, &*xattrs)); !begun) return begun;
  const auto size = static_cast<uint64_t>(file.status.st_size);
  if (auto result = copier_.Digest(file.fd, size); !result) return result;
  tar_.End();
  return Written();
}

Result<> Archive::Special(const Visited& special) {
  const mode_t type = special.status.st_mode & S_IFMT;
  // A socket has no place in an archive.
  if (type == S_IFSOCK || Again(special)) return Written();
  const auto xattrs = Seen(special, ReadXattrsAt(special.folder_fd, special.name(), Owners::kAny));
  if (!xattrs) return std::unexpected(xattrs.error());
  char link[PATH_MAX];
  TarEntry entry = Entry(special, &*xattrs);
  if (type == S_IFLNK) {
    const ssize_t bytes = readlinkat(special.folder_fd, special.name(), link, sizeof link);
    if (bytes < 0) {
      // Replaced meanwhile: as if it had gone.
      return errno == ENOENT || errno == EINVAL ? Result<>() : FailErrno(Step::kExport);
    }
    entry.link_path = {link, static_cast<size_t>(bytes)};
  }
  if (auto begun = Begin(entry); !begun) return begun;
  tar_.End();
  return Written();
}

Result<> Archive::Removed(const Visited& entry) {
  const layer::SplitPath split = layer::Split(entry.path);
  return Whiteout(split.parent, split.name);
}

Result<> Archive::Opaque(const Visited& folder) {
  return Whiteout(folder.path, ".wh..opq");
}

Result<> Archive::Whiteout(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty()) path += '/';
  path += layer::kWhiteoutPrefix;
  path += name;
  TarEntry entry;
  entry.path = path;
  entry.mode = S_IFREG;
  ++entries_;
  tar_.Begin(entry);
  tar_.End();
  return Written();
}

bool Archive::Again(const Visited& visited) {
  const struct stat& status = visited.status;
  if (status.st_nlink < 2) return false;
  const auto [first, fresh] = linked_.try_emplace({status.st_dev, status.st_ino}, visited.path);
  if (fresh) return false;
  TarEntry entry = Entry(visited, nullptr);
  entry.hard_link = TarEntry::HardLink::kYes;
  entry.link_path = first->second;
  ++entries_;
  tar_.Begin(entry);
  tar_.End();
  return true;
}

TarEntry Archive::Entry(const Visited& visited, const std::vector<Xattr>* xattrs) const {
  const struct stat& status = visited.status;
  TarEntry entry;
  entry.path = visited.path;
  // The kernel says 0777 of every link; so does the stream, whatever a file system says.
  entry.mode = S_ISLNK(status.st_mode) ? S_IFLNK | 0777 : status.st_mode;
  entry.uid = status.st_uid;
  entry.gid = status.st_gid;
  entry.mtime = status.st_mtim;
  entry.device = status.st_rdev;
  entry.xattrs = xattrs;
  if (S_ISREG(status.st_mode)) entry.size = static_cast<uint64_t>(status.st_size);
  return entry;
}

Result<> Archive::Written() const {
  if (tar_.copy_error() != 0) return Fail(Step::kExport, tar_.copy_error());
  return {};
}

Result<> Archive::Finish() {
  digest_ = tar_.Finish();
  return Written();
}

FieldWriter Archive::Report() const {
  FieldWriter report;
  report.String(protocol::Tag::kImportResult, "sha256:" + ToHex(digest_))
      .U64(protocol::Tag::kImportTarBytes, tar_.bytes())
      .U64(protocol::Tag::kExportEntries, entries_);
  return report;
}

template <typename Form>
int Run(const Tree& tree, Scope scope, Form form, int report_fd) {
  TreeWalk walk(tree, scope, form);
  Result<> result = walk.Run();
  if (result) result = form.Finish();
  if (!result) return ReportFailure(report_fd, result.error(), walk.path());
  return WriteReport(report_fd, form.Report());
}

}  // namespace

int RunExport(const Tree& tree, DiffForm form, int out_fd, int report_fd) {
  // Nobody reads any more: an error of the write.
  (void)signal(SIGPIPE, SIG_IGN);
  if (const int error = layer::InstallReaderFilter(); error != 0) {
    return ReportFailure(report_fd, {Step::kExport, 0, error, 0}, {});
  }
  const Scope scope = form == DiffForm::kWhole ? Scope::kAll : Scope::kWritten;
  if (form == DiffForm::kChanges) return Run(tree, scope, Changes(tree, out_fd), report_fd);
  return Run(tree, scope, Archive(tree, form, out_fd), report_fd);
}

}  // namespace caisson
