// zone: native
#include "supervisor/run_folder.h"

#include <dirent.h>
#include <sys/file.h>

#include <vector>

#include "supervisor/kernel.h"
#include "supervisor/options.h"
#include "supervisor/undo.h"

namespace caisson {

namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

// Held while a run folder is made and locked, and while dead ones are looked for: between the two a
// folder that is just being made would look dead.
class ParentLock {
 public:
  explicit ParentLock(int parent_fd)
      : own_(openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (own_) (void)RetryEintr([&] { return flock(own_.get(), LOCK_EX); });
  }

 private:
  UniqueFd own_;
};

}  // namespace

Result<RunFolder> OpenRunFolder(const std::string& run, const std::string& id) {
  if (mkdir(run.c_str(), 0700) != 0 && errno != EEXIST) return FailErrno(Step::kRunFolder);
  RunFolder made;
  made.id = id;
  made.parent.reset(open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!made.parent) return FailErrno(Step::kRunFolder);

  // Whoever can write here can make us remove what they like.
  struct stat info = {};
  if (fstat(made.parent.get(), &info) != 0) return FailErrno(Step::kRunFolder);
  if (info.st_uid != geteuid() || (info.st_mode & 022) != 0) return Fail(Step::kRunFolder, EPERM);

  ParentLock lock(made.parent.get());
  if (mkdirat(made.parent.get(), id.c_str(), 0700) != 0) return FailErrno(Step::kRunFolder);
  made.folder.reset(openat(made.parent.get(), id.c_str(), kFolderFlags));
  if (!made.folder) return FailErrno(Step::kRunFolder);
  if (flock(made.folder.get(), LOCK_EX | LOCK_NB) != 0) return FailErrno(Step::kRunFolder);
  return made;
}

Result<> EndRunFolder(int parent_fd, int folder_fd, const std::string& id) {
  auto undone = UndoAll(folder_fd);
  if (!undone) return undone;
  (void)unlinkat(folder_fd, "journal.new", 0);  // Only there after a crash in the middle of it.
  if (unlinkat(parent_fd, id.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return FailErrno(Step::kRunFolder);
  }
  return {};
}

void SweepRunFolders(int parent_fd, const std::string& own_id) {
  struct Dead {
    std::string id;
    UniqueFd folder;
  };
  std::vector<Dead> dead;
  {
    ParentLock lock(parent_fd);
    DIR* listing = fdopendir(openat(parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (listing == nullptr) return;
    while (const dirent* entry = readdir(listing)) {
      if (own_id == entry->d_name || !IsPlainName(entry->d_name)) continue;
      UniqueFd folder(openat(parent_fd, entry->d_name, kFolderFlags));
      if (!folder || flock(folder.get(), LOCK_EX | LOCK_NB) != 0) continue;
      dead.push_back({entry->d_name, std::move(folder)});
    }
    (void)closedir(listing);
  }
  for (const Dead& runtime : dead) {
    // What cannot be undone now is tried again by the next start.
    (void)EndRunFolder(parent_fd, runtime.folder.get(), runtime.id);
  }
}

}  // namespace caisson
