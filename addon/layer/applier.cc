// zone: native
#include "layer/applier.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "base/retry_eintr.h"
#include "layer/layer_path.h"
#include "plan/protocol.h"
#include "supervisor/import_attributes.h"

namespace caisson::layer {

Result<> Applier::Begin(const Entry& entry) {
  path_ = entry.path;
  if (++entries_ > most_entries_) {
    return Fail(Step::kUnpack, EFBIG, static_cast<uint32_t>(protocol::Tag::kUnpackMaxEntries));
  }
  file_.reset();
  const auto path = CleanPath(entry.path);
  if (!path) return Fail(Step::kUnpackWrite, EXDEV);
  switch (MeaningOf(*path)) {
    case Meaning::kPlain:
      return Make(entry, *path);
    case Meaning::kWhiteout: {
      const SplitPath split = Split(*path);
      std::string hidden(split.parent);
      if (!hidden.empty()) hidden += '/';
      hidden += split.name.substr(kWhiteoutPrefix.size());
      return tree_.Whiteout(hidden);
    }
    case Meaning::kOpaqueWhiteout:
      return tree_.HideBelow(Split(*path).parent);
    case Meaning::kIgnored:
      return {};
    case Meaning::kNone:
      break;
  }
  return Fail(Step::kUnpackWrite, EINVAL);
}

Result<> Applier::Make(const Entry& entry, const std::string& path) {
  if (entry.type == EntryType::kFolder) return tree_.AddFolder(path, rules_.Of(entry));
  if (path.empty()) return Fail(Step::kUnpackWrite, EISDIR);  // The top is a folder.
  if (entry.type == EntryType::kHardLink) return MakeHardLink(entry, path);
  const bool device =
      entry.type == EntryType::kCharacterDevice || entry.type == EntryType::kBlockDevice;
  if (device && !rules_.MayMakeDevices()) return {};
  // To overlay it would be a whiteout, which is not what it was where it was packed.
  if (entry.type == EntryType::kCharacterDevice && entry.major == 0 && entry.minor == 0) return {};
  auto place = tree_.PlaceOf(path);
  if (!place) return std::unexpected(place.error());
  return entry.type == EntryType::kFile ? MakeFile(entry, *place) : MakeSpecial(entry, *place);
}

template <typename MakeIt>
Result<int> Applier::MakeAt(const LayerTree::Place& place, MakeIt make) {
  int made = make();
  if (made >= 0) return made;
  if (errno != EEXIST) return FailErrno(Step::kUnpackWrite);
  if (auto room = tree_.MakeRoom(place, LayerTree::Newcomer::kOther); !room) {
    return std::unexpected(room.error());
  }
  made = make();
  if (made < 0) return FailErrno(Step::kUnpackWrite);
  return made;
}

Result<> Applier::MakeFile(const Entry& entry, const LayerTree::Place& place) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  auto made = MakeAt(place, [&] {
    return openat(place.folder_fd, place.name.c_str(), kFlags, entry.mode & 0777);
  });
  if (!made) return std::unexpected(made.error());
  file_.reset(*made);
  attributes_ = rules_.Of(entry);
  size_ = entry.size;
  end_ = 0;
  return {};
}

Result<> Applier::MakeHardLink(const Entry& entry, const std::string& path) {
  const auto target = CleanPath(entry.link);
  if (!target) return Fail(Step::kUnpackWrite, EXDEV);
  auto first = tree_.PlaceOf(*target);
  if (!first) return std::unexpected(first.error());
  // What the layer hides there is nothing that it has.
  struct stat status;
  if (fstatat(first->folder_fd, first->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno(Step::kUnpackWrite);
  }
  if (S_ISCHR(status.st_mode) && status.st_rdev == 0) return Fail(Step::kUnpackWrite, ENOENT);
  const UniqueFd folder(fcntl(first->folder_fd, F_DUPFD_CLOEXEC, 0));
  if (!folder) return FailErrno(Step::kUnpackWrite);
  auto place = tree_.PlaceOf(path);
  if (!place) return std::unexpected(place.error());
  // To itself: making room would take away what it is a link to.
  if (place->path == first->path) return {};
  auto made = MakeAt(*place, [&] {
    return linkat(folder.get(), first->name.c_str(), place->folder_fd, place->name.c_str(), 0);
  });
  return made ? Result<>() : std::unexpected(made.error());
}

Result<> Applier::MakeSpecial(const Entry& entry, const LayerTree::Place& place) {
  const Attributes attributes = rules_.Of(entry);
  const mode_t type = attributes.status.st_mode & S_IFMT;
  auto made = MakeAt(place, [&] {
    if (entry.type == EntryType::kSymbolicLink) {
      return symlinkat(entry.link.c_str(), place.folder_fd, place.name.c_str());
    }
    const dev_t device = type == S_IFIFO ? 0 : makedev(entry.major, entry.minor);
    return mknodat(place.folder_fd, place.name.c_str(), type | 0600, device);
  });
  if (!made) return std::unexpected(made.error());
  auto applied =
      ApplyAttributesAt(place.folder_fd, place.name.c_str(), attributes.status, attributes.xattrs);
  return applied ? Result<>() : Fail(Step::kUnpackWrite, applied.error().error);
}

Result<> Applier::Data(uint64_t offset, Bytes data) {
  if (!file_) return {};  // the content of a whiteout, or of what is ignored
  while (!data.empty()) {
    const ssize_t bytes = RetryEintr(
        [&] { return pwrite(file_.get(), data.data(), data.size(), static_cast<off_t>(offset)); });
    if (bytes < 0) return FailErrno(Step::kUnpackWrite);
    offset += static_cast<uint64_t>(bytes);
    data = data.subspan(static_cast<size_t>(bytes));
  }
  end_ = offset;
  return {};
}

Result<> Applier::End() {
  if (!file_) return {};
  // A hole at its end.
  if (end_ != size_ && ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) {
    return FailErrno(Step::kUnpackWrite);
  }
  auto applied = ApplyAttributes(file_.get(), attributes_.status, attributes_.xattrs);
  file_.reset();
  return applied ? Result<>() : Fail(Step::kUnpackWrite, applied.error().error);
}

Result<> Applier::Finish() {
  auto finished = tree_.Finish();
  if (!finished) path_ = tree_.finishing();
  return finished;
}

}  // namespace caisson::layer
