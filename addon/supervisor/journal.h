// zone: native
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace caisson {

// The undo log of one runtime: a text file in its run folder, appended to before each deed.
//
//   store <n> <absolute path>       where the following folders are
//   cgroup <n> <absolute path>      a cgroup: kill what is in it, remove it and what is below
//   scratch <n> <store path>        a folder of the runtime's own
//   folder <n> <store path>         a folder that was registered
//   gone <n>                        record n needs no undoing any more
//
// Not synced: a reboot undoes what it lists, except folders, which the store sweeps by
// reachability.
struct JournalRecord {
  std::string kind;
  uint32_t number = 0;
  std::string text;
};

class Journal {
 public:
  // Creates it in the run folder (borrowed; must outlive the journal).
  [[nodiscard]] Result<> Create(int run_folder_fd);

  // The number of the record, for Gone().
  [[nodiscard]] Result<uint32_t> Append(const char* kind, const std::string& text);
  void Gone(uint32_t number);

  // What has not been undone, oldest first. A last line without its end was never acted on.
  [[nodiscard]] static Result<std::vector<JournalRecord>> Read(int run_folder_fd);

 private:
  [[nodiscard]] Result<> Write(const std::string& line);
  void Compact();

  int folder_ = -1;
  UniqueFd file_;
  uint32_t next_ = 0;
  uint32_t dead_ = 0;
  std::map<uint32_t, std::string> live_;  // whole lines
};

constexpr char kJournalName[] = "journal";

}  // namespace caisson
