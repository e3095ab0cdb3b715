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
// A folder is modified when its mode, owner, xattrs or time are others, or when something was added
// to it or deleted from it; of one that hides what was below all of that is deleted which is not
// there again. The top counts for what was added to it or deleted from it alone.
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
  [[nodiscard]] bool Differs(const Visited& folder) const;
  void Append(char kind, std::string_view path);
  [[nodiscard]] Result<> Write();

  const Tree& tree_;
  int out_fd_;
  // The last folder that is as it was, and not told of: what is added to it changes it after all.
  // Those that it lies in are before it.
  std::vector<std::string> same_;
  std::string buffer_;
  uint64_t told_ = 0;
};

}  // namespace caisson
