// zone: native
#include "layer/attributes.h"

#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include <utility>

namespace caisson::layer {
namespace {

constexpr uid_t kLeave = ~uid_t{0};

mode_t TypeBits(EntryType type) noexcept {
  switch (type) {
    case EntryType::kFile:
    case EntryType::kHardLink:
      return S_IFREG;
    case EntryType::kSymbolicLink:
      return S_IFLNK;
    case EntryType::kCharacterDevice:
      return S_IFCHR;
    case EntryType::kBlockDevice:
      return S_IFBLK;
    case EntryType::kFolder:
      return S_IFDIR;
    case EntryType::kFifo:
      return S_IFIFO;
  }
  return 0;
}

// The root that file capabilities of revision 3 are for.
uint32_t RootOf(const std::string& capability) noexcept {
  struct vfs_ns_cap_data data;
  if (capability.size() != sizeof data) return 0;
  memcpy(&data, capability.data(), sizeof data);
  return data.rootid;  // little-endian, as every machine we run on
}

}  // namespace

uint32_t AttributeRules::User(uint32_t id) {
  if (owners_ == Owners::kAny || id == 0) return id;
  if (owners_ == Owners::kSelf) return 0;
  const auto [known, fresh] = users_.try_emplace(id);
  if (fresh) known->second = fchown(probe_fd_, id, kLeave) == 0;
  return known->second ? id : 0;
}

uint32_t AttributeRules::Group(uint32_t id) {
  if (owners_ == Owners::kAny || id == 0) return id;
  if (owners_ == Owners::kSelf) return 0;
  const auto [known, fresh] = groups_.try_emplace(id);
  if (fresh) known->second = fchown(probe_fd_, kLeave, id) == 0;
  return known->second ? id : 0;
}

// Whether everybody that an ACL names can be named here. acl(5) as an xattr: a u32 version, then
// entries of u16 tag, u16 permissions, u32 id.
bool AttributeRules::Knows(const std::string& acl) {
  if (owners_ == Owners::kAny) return true;
  if (owners_ == Owners::kSelf) return !NamesSomebody(acl);
  constexpr uint16_t kUser = 0x02;
  constexpr uint16_t kGroup = 0x08;
  for (size_t at = 4; at + 8 <= acl.size(); at += 8) {
    uint16_t tag = 0;
    uint32_t id = 0;
    memcpy(&tag, acl.data() + at, sizeof tag);
    memcpy(&id, acl.data() + at + 4, sizeof id);
    if ((tag == kUser && User(id) != id) || (tag == kGroup && Group(id) != id)) return false;
  }
  return true;
}

bool AttributeRules::Keeps(const Xattr& xattr, EntryType type) {
  const std::string_view name = xattr.name;
  if (!BelongsToImage(name)) return false;
  if (name.starts_with("trusted.caisson.") || name.starts_with("user.caisson.")) return false;
  if (name.starts_with("trusted.") && overlay_ == OverlayXattrs::kUser) return false;
  if (name.starts_with("user.")) return type == EntryType::kFile || type == EntryType::kFolder;
  if (IsAcl(name)) {
    return type != EntryType::kSymbolicLink && Knows(xattr.value);
  }
  // Capabilities for a root that nobody here can be.
  return owners_ == Owners::kAny || User(RootOf(xattr.value)) == RootOf(xattr.value);
}

Attributes AttributeRules::Of(const Entry& entry) {
  Attributes attributes;
  struct stat& status = attributes.status;
  status.st_mode = TypeBits(entry.type) | entry.mode;
  status.st_uid = User(entry.uid);
  status.st_gid = Group(entry.gid);
  status.st_mtim = entry.mtime;
  status.st_atim = entry.mtime;
  for (const Xattr& xattr : entry.xattrs) {
    if (Keeps(xattr, entry.type)) attributes.xattrs.push_back(xattr);
  }
  return attributes;
}

}  // namespace caisson::layer
