// zone: native
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "layer/attributes.h"
#include "supervisor/id_view.h"

namespace caisson {

// What is walked: the folder that an overlay writes to, what lies below it, or a layer alone.
struct Tree {
  int upper_fd = -1;  // -1: nothing was written
  int lower_fd = -1;  // -1: nobody knows
  layer::OverlayXattrs overlay = layer::OverlayXattrs::kTrusted;
  IdView ids;  // of what lies in the upper folder
  // Absolute paths in the container: what lies there was made to be mounted on. It does not count
  // as written while it is empty, nor do folders that were made for nothing else.
  std::vector<std::string> mount_points;
};

enum class Scope {
  kWritten,  // what the upper folder has
  kAll,      // and what shows through it
};

// One entry, at the moment when it was looked at.
struct Visited {
  enum class Side { kUpper, kLower };

  std::string path;         // without "/" at either end; "" is the top
  struct stat status = {};  // its owner as the container has it
  Side side = Side::kUpper;
  int folder_fd = -1;        // what it lies in, under the last part of its path
  int fd = -1;               // of a file or folder: open for reading
  bool is_below = false;     // the layers below have something of that name
  int below_fd = -1;         // what that lies in
  int lower_fd = -1;         // the folder that this one is merged with, or hides
  bool hides_below = false;  // all that is in that one
  [[nodiscard]] const char* name() const noexcept {
    const size_t slash = path.rfind('/');
    return path.c_str() + (slash == std::string::npos ? 0 : slash + 1);
  }
};

// Is told what there is, depth first, what lies in a folder in byte order of names.
class TreeVisitor {
 public:
  // Before what is in it.
  [[nodiscard]] virtual Result<> Folder(const Visited& folder) = 0;
  [[nodiscard]] virtual Result<> File(const Visited& file) = 0;
  // A link, device, fifo or socket.
  [[nodiscard]] virtual Result<> Special(const Visited& entry) = 0;
  // What the layers below have there is gone. Not with Scope::kAll.
  [[nodiscard]] virtual Result<> Removed(const Visited& entry) = 0;
  // Right after Folder: it is marked as one that hides what is below. Not with Scope::kAll.
  [[nodiscard]] virtual Result<> Opaque(const Visited& folder) = 0;

 protected:
  ~TreeVisitor() = default;
};

// Walks a tree that somebody else may be changing: what goes away meanwhile is not there, nothing
// is opened but files and folders, no link is followed, and no way leads out of the two folders.
class TreeWalk {
 public:
  TreeWalk(const Tree& tree, Scope scope, TreeVisitor& visitor)
      : tree_(tree), scope_(scope), visitor_(visitor) {}

  [[nodiscard]] Result<> Run();
  // Of the entry at hand.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  // A folder of the upper tree, of the one below, or both.
  struct Pair {
    int upper_fd = -1;
    int lower_fd = -1;
    bool hides_below = false;       // of the one below nothing shows
    bool has_marked_files = false;  // whiteouts that are files with an xattr
    unsigned depth = 0;
  };

  [[nodiscard]] Result<> Children(const Pair& folder);
  [[nodiscard]] Result<> Child(const Pair& folder, const char* name);
  [[nodiscard]] Result<> Upper(const Pair& folder, const char* name, const struct stat& status,
                               bool* changed);
  [[nodiscard]] Result<> Lower(const Pair& folder, const char* name, bool* changed);
  [[nodiscard]] Result<> Folder(Visited visited, const Pair& folder);
  [[nodiscard]] Result<> Inside(const Visited& folder, const Pair& pair);
  enum class Mark { kNone, kOpaque, kMarkedFiles };
  [[nodiscard]] Mark MarkOf(int folder_fd) const;
  [[nodiscard]] Result<> Flush();

  [[nodiscard]] bool IsWhiteout(const Pair& folder, const char* name,
                                const struct stat& status) const;
  [[nodiscard]] bool IsMountPoint() const;
  [[nodiscard]] static bool IsAsMade(const Visited& folder);
  [[nodiscard]] std::string OverlayXattr(const char* name) const;
  void ResolveMountPoints();

  const Tree& tree_;
  Scope scope_;
  TreeVisitor& visitor_;
  std::string path_;
  std::vector<std::string> mount_points_;  // without links on the way; sorted
  // Folders that count only if something in them does: each in the one before.
  std::vector<Visited> pending_;
  uint64_t hidden_ = 0;
};

}  // namespace caisson
