// zone: native
#include "supervisor/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "layer/layer_path.h"
#include "plan/protocol.h"
#include "supervisor/import_attributes.h"
#include "supervisor/open_entry.h"
#include "supervisor/sorted_names.h"

namespace caisson {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;

bool SameKindAndOwner(const struct stat& one, const struct stat& other) {
  return one.st_mode == other.st_mode && one.st_uid == other.st_uid && one.st_gid == other.st_gid;
}

bool SameTime(const timespec& one, const timespec& other) {
  return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

}  // namespace

bool Changes::XattrsDiffer(Result<std::vector<Xattr>> now,
                           const Result<std::vector<Xattr>>& before) const {
  if (!now || !before) return true;
  tree_.ids.Show(&*now);
  return !std::ranges::equal(*now, *before, [](const Xattr& one, const Xattr& other) {
    return one.name == other.name && one.value == other.value;
  });
}

bool Changes::FolderDiffers(const Visited& folder) const {
  struct stat before;
  return fstat(folder.lower_fd, &before) != 0 || !SameKindAndOwner(folder.status, before) ||
         XattrsDiffer(ReadXattrs(folder.fd, Owners::kAny),
                      ReadXattrs(folder.lower_fd, Owners::kAny));
}

bool Changes::EntryDiffers(const Visited& entry) const {
  struct stat before;
  const struct stat& now = entry.status;
  if (fstatat(entry.below_fd, entry.name(), &before, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0 ||
      !SameKindAndOwner(now, before) || now.st_size != before.st_size ||
      now.st_rdev != before.st_rdev || !SameTime(now.st_mtim, before.st_mtim)) {
    return true;
  }
  if (entry.fd < 0) {
    return XattrsDiffer(ReadXattrsAt(entry.folder_fd, entry.name(), Owners::kAny),
                        ReadXattrsAt(entry.below_fd, entry.name(), Owners::kAny));
  }
  UniqueFd below;
  const auto opened = OpenEntry(entry.below_fd, entry.name(), 0, Step::kExport, &below);
  return !opened || *opened != Opened::kYes ||
         XattrsDiffer(ReadXattrs(entry.fd, Owners::kAny), ReadXattrs(below.get(), Owners::kAny));
}

Result<> Changes::Folder(const Visited& folder) {
  if (folder.side == Visited::Side::kLower) return {};  // the top, when nothing was written
  if (folder.lower_fd < 0 || (!folder.path.empty() && FolderDiffers(folder))) {
    if (auto told = Entry(folder); !told) return told;
  } else {
    same_.push_back(folder.path);
  }
  return folder.hides_below && folder.lower_fd >= 0 ? Gone(folder) : Result<>();
}

Result<> Changes::Entry(const Visited& entry) {
  if (!entry.is_below) return Tell('A', entry.path);
  const bool is_folder = S_ISDIR(entry.status.st_mode);
  return is_folder || EntryDiffers(entry) ? Tell('M', entry.path) : Result<>();
}

// What the folder that it hides has, and this one has not.
Result<> Changes::Gone(const Visited& folder) {
  const UniqueFd lower(openat(folder.lower_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lower) return FailErrno(Step::kExport);
  const auto names = SortedNames(lower.get(), Step::kExport);
  if (!names) return std::unexpected(names.error());
  struct stat status;
  for (const std::string& name : *names) {
    const bool is_there = fstatat(folder.fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_there && !(S_ISCHR(status.st_mode) && status.st_rdev == 0)) continue;
    const std::string path = folder.path.empty() ? name : folder.path + '/' + name;
    if (auto told = Tell('D', path); !told) return told;
  }
  return {};
}

Result<> Changes::Tell(char kind, std::string_view path) {
  const std::string_view parent = layer::Split(path).parent;
  // Folders that the walk has left.
  const auto is_in = [&](const std::string& folder) {
    return folder.empty() || parent == folder ||
           (parent.starts_with(folder) && parent[folder.size()] == '/');
  };
  while (!same_.empty() && !is_in(same_.back())) same_.pop_back();
  for (const std::string& folder : same_) Append('M', folder);
  same_.clear();
  Append(kind, path);
  return buffer_.size() < kBufferBytes ? Result<>() : Write();
}

void Changes::Append(char kind, std::string_view path) {
  buffer_ += kind;
  buffer_ += path;
  buffer_ += '\0';
  ++told_;
}

Result<> Changes::Write() {
  for (size_t at = 0; at < buffer_.size();) {
    const ssize_t written =
        RetryEintr([&] { return write(out_fd_, buffer_.data() + at, buffer_.size() - at); });
    if (written < 0) return FailErrno(Step::kExport);
    at += static_cast<size_t>(written);
  }
  buffer_.clear();
  return {};
}

FieldWriter Changes::Report() const {
  FieldWriter report;
  report.U64(protocol::Tag::kExportEntries, told_);
  return report;
}

}  // namespace caisson
