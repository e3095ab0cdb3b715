// zone: native
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "layer/attributes.h"

namespace caisson::layer {

// The folders of a layer that is being made. Every path that comes here is clean (layer_path.h).
//
// No link is ever followed by the kernel, and nothing is resolved beyond the top. Where an archive
// goes through a link of its own, which some do ("lib" → "usr/lib", then "lib/x"), the way is found
// here, name by name, as a program inside would find it.
class LayerTree {
 public:
  LayerTree(int root_fd, OverlayXattrs overlay) : root_fd_(root_fd), overlay_(overlay) {}

  // Where an entry belongs: `folder_fd` stays open until the next call.
  struct Place {
    int folder_fd = -1;
    std::string path;  // without links on the way
    std::string name;
  };
  // Makes the folders that are missing on the way, 0755 and root's, and remembers them as omitted.
  [[nodiscard]] Result<Place> PlaceOf(std::string_view path);

  // What takes the place of something that is there already.
  enum class Newcomer { kFolder, kOther };
  enum class Found {
    kNothing,  // the place is free: what was there is gone
    kHidden,   // the same; a new folder there must not show what lies below
    kFolder,   // a folder that stays, for another one
  };
  [[nodiscard]] Result<Found> MakeRoom(const Place& place, Newcomer newcomer);

  // Makes a folder, or takes the one that is there, whose attributes are to be these at the end.
  [[nodiscard]] Result<> AddFolder(std::string_view path, Attributes attributes);
  // Nothing of the layers below is to show in the folder at `path`.
  [[nodiscard]] Result<> HideBelow(std::string_view path);
  // Nothing of the name at `path` in the layers below is to show.
  [[nodiscard]] Result<> Whiteout(std::string_view path);

  // Gives all folders their attributes, and those that were omitted their mark. The last call: what
  // is made in a folder changes its times, and its mode and ACL would change what is made in it.
  [[nodiscard]] Result<> Finish();

  // Folders that were left out, and whiteouts: what both become depends on the layers below.
  [[nodiscard]] uint64_t unsettled() const noexcept { return omitted_ + whiteouts_; }
  [[nodiscard]] bool hides_all() const noexcept { return hides_all_; }
  // The folder that Finish is at.
  [[nodiscard]] const std::string& finishing() const noexcept { return finishing_; }

 private:
  struct Folder {
    Attributes attributes;
    bool is_omitted = false;
  };
  struct Opened {
    UniqueFd fd;
    std::string path;
  };

  [[nodiscard]] Result<> OpenParent(std::string_view path);
  [[nodiscard]] Result<Opened> Walk(std::string_view path);
  // The next part of a walk is missing, or hidden by a whiteout: it is made.
  enum class Omitted { kYes, kNo };
  [[nodiscard]] Result<> MakeFolder(int folder_fd, const std::string& name, const std::string& path,
                                    Omitted omitted);
  [[nodiscard]] Result<> Mark(int folder_fd, const std::string& name, const char* xattr);
  void Forget(const std::string& path);

  int root_fd_;
  OverlayXattrs overlay_;
  // The parent of the last entry: most have the same as the one before.
  std::string parent_asked_;
  Opened parent_;
  bool has_parent_ = false;
  std::map<std::string, Folder> folders_;
  uint64_t omitted_ = 0;
  uint64_t whiteouts_ = 0;
  bool hides_all_ = false;
  std::string finishing_;
};

}  // namespace caisson::layer
