// zone: native
#include "supervisor/undo.h"

#include "supervisor/cgroup_root.h"
#include "supervisor/journal.h"
#include "supervisor/kernel.h"
#include "supervisor/options.h"
#include "supervisor/remove_tree.h"

namespace caisson {

namespace {

Result<> Undo(const JournalRecord& record, int store_fd, const std::string& trash) {
  if (record.kind == "cgroup") return RemoveCgroupPath(record.text);
  if (record.kind != "scratch" && record.kind != "folder") return {};
  if (store_fd < 0 || !IsStorePath(record.text)) return {};
  // The program may live and be about to rename it to its final name: it must find it whole or
  // gone.
  if (record.kind == "folder" && !trash.empty()) return RemoveFolder(store_fd, record.text, trash);
  const size_t slash = record.text.rfind('/');
  if (slash == std::string::npos) return RemoveTree(store_fd, record.text);
  auto parent =
      OpenStoreFolder(store_fd, record.text.substr(0, slash), Missing::kFail, Step::kRemove);
  if (!parent) {
    if (parent.error().error == ENOENT) return {};
    return std::unexpected(parent.error());
  }
  return RemoveTree(parent->get(), record.text.substr(slash + 1));
}

}  // namespace

Result<> UndoAll(int run_folder_fd) {
  auto records = Journal::Read(run_folder_fd);
  if (!records) {
    if (records.error().error == ENOENT) return {};
    return std::unexpected(records.error());
  }
  UniqueFd store;
  std::string trash;  // A record as well, and older than every folder's: it is emptied after them.
  for (const JournalRecord& record : *records) {
    if (record.kind == "store") {
      store.reset(open(record.text.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    } else if (record.kind == "scratch" && record.text.starts_with("trash/") &&
               IsStorePath(record.text)) {
      trash = record.text;
    }
  }

  // Some hierarchies cannot kill those whom we do not see, in a pid namespace around ours.
  for (const JournalRecord& record : *records) {
    if (record.kind == "cgroup") KillCgroupPath(record.text);
  }
  // Folders may be in use by what is in the cgroups: those go first.
  Result<> first;
  for (const bool cgroups : {true, false}) {
    for (auto record = records->rbegin(); record != records->rend(); ++record) {
      if ((record->kind == "cgroup") != cgroups) continue;
      if (auto undone = Undo(*record, store.get(), trash); !undone && first) first = undone;
    }
  }
  if (!first) return first;
  if (unlinkat(run_folder_fd, kJournalName, 0) != 0 && errno != ENOENT) {
    return FailErrno(Step::kJournal);
  }
  return {};
}

}  // namespace caisson
