// zone: native
#pragma once

#include <stdint.h>

#include <string>

#include "base/unique_fd.h"
#include "layer/attributes.h"
#include "layer/layer_tree.h"
#include "layer/tar_entry.h"

namespace caisson::layer {

// Makes a layer of an OCI image out of the entries of its archive (image-spec, layer.md), in the
// form that overlay reads: a whiteout becomes a 0/0 device, an opaque one an xattr of its folder.
//
// Entries may come in any order. What a whiteout names is hidden in the layers below only: what
// the same layer has under that name stays, whichever comes first. Of entries with the same name
// the last one counts; a folder that comes again keeps what it holds. A hard link is to something
// that came before in the same layer. Devices are left out where the kernel lets us make none.
class Applier final : public EntrySink {
 public:
  // `root_fd` is the layer's folder, new and empty.
  Applier(int root_fd, OverlayXattrs overlay, uint64_t most_entries)
      : rules_(root_fd, overlay), tree_(root_fd, overlay), most_entries_(most_entries) {}

  [[nodiscard]] Result<> Begin(const Entry& entry) override;
  [[nodiscard]] Result<> Data(uint64_t offset, Bytes data) override;
  [[nodiscard]] Result<> End() override;
  [[nodiscard]] Result<> Finish();

  // The entry at hand.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] uint64_t entries() const noexcept { return entries_; }
  [[nodiscard]] uint64_t unsettled() const noexcept { return tree_.unsettled(); }
  [[nodiscard]] bool hides_all() const noexcept { return tree_.hides_all(); }

 private:
  [[nodiscard]] Result<> Make(const Entry& entry, const std::string& path);
  [[nodiscard]] Result<> MakeFile(const Entry& entry, const LayerTree::Place& place);
  [[nodiscard]] Result<> MakeHardLink(const Entry& entry, const std::string& path);
  [[nodiscard]] Result<> MakeSpecial(const Entry& entry, const LayerTree::Place& place);
  // Calls `make`, which is a system call, a second time when something was in its way.
  template <typename MakeIt>
  [[nodiscard]] Result<int> MakeAt(const LayerTree::Place& place, MakeIt make);

  AttributeRules rules_;
  LayerTree tree_;
  uint64_t most_entries_;
  uint64_t entries_ = 0;
  std::string path_;
  // The file at hand.
  UniqueFd file_;
  Attributes attributes_;
  uint64_t size_ = 0;
  uint64_t end_ = 0;  // of what was written
};

}  // namespace caisson::layer
