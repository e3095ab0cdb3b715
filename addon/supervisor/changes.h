// zone: native
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "supervisor/tree_walk.h"

namespace caisson {

// What of a tree differs from what lies below it, as Docker tells it: for each change one byte (A
// added, M modified, D deleted), its path without the first "/", and a NUL. Written to `out_fd`
// (borrowed) in the order of the walk.
//
// What has the mode, owner and xattrs that it had, and but for folders the size and time, is as it
// was: an overlay has it all the same when it was opened to be written to. A folder is modified
// when something in it was, is added or deleted; of one that hides what was below all of that is
// deleted which is not there again.
class Changes final : public TreeVisitor {
 public:
  Changes(const Tree& tree, int out_fd) : tree_(tree), out_fd_(out_fd) {}

  [[nodiscard]] Result<> Folder(const Visited& folder) override;
  [[nodiscard]] Result<> File(const Visited& file) override { return Entry(file); }
  [[nodiscard]] Result<> Special(const Visited& entry) override { return Entry(entry); }
  [[nodiscard]] Result<> Removed(const Visited& entry) override { return Tell('D', entry.path); }
  [[nodiscard]] Result<> Opaque(const Visited& /*folder*/) override { return {}; }
  [[nodiscard]] Result<> Finish() { return Write(); }
  [[nodiscard]] FieldWriter Report() const;

 private:
  [[nodiscard]] Result<> Entry(const Visited& entry);
  [[nodiscard]] Result<> Gone(const Visited& folder);
  [[nodiscard]] Result<> Tell(char kind, std::string_view path);
  [[nodiscard]] bool FolderDiffers(const Visited& folder) const;
  // From what is below.
  [[nodiscard]] bool EntryDiffers(const Visited& entry) const;
  [[nodiscard]] bool XattrsDiffer(Result<std::vector<Xattr>> now,
                                  const Result<std::vector<Xattr>>& before) const;
  void Append(char kind, std::string_view path);
  [[nodiscard]] Result<> Write();

  const Tree& tree_;
  int out_fd_;
  // Folders that are as they were, and not told of, each in the one before: a change in the last
  // one is one of all of them.
  std::vector<std::string> same_;
  std::string buffer_;
  uint64_t told_ = 0;
};

}  // namespace caisson
