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
#include "supervisor/sorted_names.h"

namespace caisson {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;

bool SameXattrs(const std::vector<Xattr>& one, const std::vector<Xattr>& other) {
  return std::ranges::equal(one, other, [](const Xattr& a, const Xattr& b) {
    return a.name == b.name && a.value == b.value;
  });
}

}  // namespace

bool Changes::Differs(const Visited& folder) const {
  struct stat before;
  if (fstat(folder.lower_fd, &before) != 0) return true;
  const struct stat& now = folder.status;
  if (now.st_mode != before.st_mode || now.st_uid != before.st_uid || now.st_gid != before.st_gid ||
      now.st_mtim.tv_sec != before.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != before.st_mtim.tv_nsec) {
    return true;
  }
  auto own = ReadXattrs(folder.fd, Owners::kAny);
  const auto below = ReadXattrs(folder.lower_fd, Owners::kAny);
  if (!own || !below) return true;
  tree_.ids.Show(&*own);
  return !SameXattrs(*own, *below);
}

Result<> Changes::Folder(const Visited& folder) {
  if (folder.side == Visited::Side::kLower) return {};  // the top, when nothing was written
  if (folder.lower_fd < 0 || (!folder.path.empty() && Differs(folder))) {
    if (auto told = Entry(folder); !told) return told;
  } else {
    same_.push_back(folder.path);
  }
  return folder.hides_below && folder.lower_fd >= 0 ? Gone(folder) : Result<>();
}

Result<> Changes::Entry(const Visited& entry) {
  return Tell(entry.is_below ? 'M' : 'A', entry.path);
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
  if (kind != 'M' && !same_.empty() && parent == same_.back()) {
    Append('M', parent);
    same_.pop_back();
  }
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
