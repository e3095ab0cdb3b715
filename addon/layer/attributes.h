// zone: native
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include <map>
#include <string_view>
#include <vector>

#include "layer/tar_entry.h"
#include "supervisor/import_attributes.h"

namespace caisson::layer {

// Whose xattrs overlay looks at: trusted.overlay.*, or, where only the user namespace trusts us,
// user.overlay.*.
enum class OverlayXattrs : uint8_t { kTrusted, kUser };

// Of a folder that its layer leaves out: what it is like is for the layers below to say (settle.h).
[[nodiscard]] constexpr const char* OmittedMark(OverlayXattrs kind) noexcept {
  return kind == OverlayXattrs::kTrusted ? "trusted.caisson.omitted" : "user.caisson.omitted";
}
// Of a folder that hides what lies below.
[[nodiscard]] constexpr const char* OpaqueMark(OverlayXattrs kind) noexcept {
  return kind == OverlayXattrs::kTrusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
}

struct Attributes {
  struct stat status = {};
  std::vector<Xattr> xattrs;
};

// What an entry's attributes become here. Owners that the user namespace does not map become root,
// and so do all where there is one id, as in an import; xattrs that belong to the host, to overlay
// or to us are left out, and those that such a file, or such an owner, cannot have.
class AttributeRules {
 public:
  // `probe_fd` is a folder of ours whose owner does not matter meanwhile.
  AttributeRules(int probe_fd, OverlayXattrs overlay)
      : probe_fd_(probe_fd), owners_(ProbeOwners(probe_fd)), overlay_(overlay) {}

  [[nodiscard]] Attributes Of(const Entry& entry);
  [[nodiscard]] bool MayMakeDevices() const noexcept { return owners_ == Owners::kAny; }
  [[nodiscard]] OverlayXattrs overlay() const noexcept { return overlay_; }

 private:
  using Known = std::map<uint32_t, bool>;
  [[nodiscard]] uint32_t User(uint32_t id);
  [[nodiscard]] uint32_t Group(uint32_t id);
  [[nodiscard]] bool Knows(const std::string& acl);
  [[nodiscard]] bool Keeps(const Xattr& xattr, EntryType type);

  int probe_fd_;
  Owners owners_;
  OverlayXattrs overlay_;
  Known users_;
  Known groups_;
};

}  // namespace caisson::layer
