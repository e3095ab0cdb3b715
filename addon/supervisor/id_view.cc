// zone: native
#include "supervisor/id_view.h"

#include <linux/capability.h>
#include <stddef.h>
#include <string.h>

#include <charconv>
#include <string>

#include "supervisor/import_attributes.h"

namespace caisson {
namespace {

// What stat(2) says of an owner that is not mapped (/proc/sys/kernel/overflowuid).
constexpr uint32_t kNobody = 65534;

// One number and what follows it, which is taken away; false where there is none.
bool TakeNumber(std::string_view* text, char end, uint32_t* number) {
  const auto [next, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc() || next == text->data() + text->size() || *next != end) return false;
  text->remove_prefix(static_cast<size_t>(next - text->data()) + 1);
  return true;
}

}  // namespace

bool IdView::Parse(std::string_view map, Ranges* ranges) {
  while (!map.empty()) {
    Range range;
    if (!TakeNumber(&map, ' ', &range.inside) || !TakeNumber(&map, ' ', &range.outside) ||
        !TakeNumber(&map, '\n', &range.size)) {
      return false;
    }
    ranges->push_back(range);
  }
  return true;
}

bool IdView::Set(std::string_view uid_map, std::string_view gid_map) {
  return Parse(uid_map, &users_) && Parse(gid_map, &groups_) && users_.empty() == groups_.empty();
}

uint32_t IdView::Inside(const Ranges& ranges, uint32_t outside) {
  for (const Range& range : ranges) {
    if (outside - range.outside < range.size) return range.inside + (outside - range.outside);
  }
  return kNobody;
}

void IdView::Show(struct stat* status) const {
  if (users_.empty()) return;
  status->st_uid = Inside(users_, status->st_uid);
  status->st_gid = Inside(groups_, status->st_gid);
}

void IdView::Show(std::vector<Xattr>* xattrs) const {
  if (users_.empty()) return;
  std::erase_if(*xattrs, [&](Xattr& xattr) {
    if (IsAcl(xattr.name)) ShowAcl(&xattr.value);
    return xattr.name == "security.capability" && !ShowCapability(&xattr.value);
  });
}

// acl(5) as an xattr: a u32 version, then entries of u16 tag, u16 permissions, u32 id.
void IdView::ShowAcl(std::string* value) const {
  constexpr uint16_t kUser = 0x02;
  constexpr uint16_t kGroup = 0x08;
  for (size_t at = 4; at + 8 <= value->size(); at += 8) {
    uint16_t tag = 0;
    uint32_t id = 0;
    memcpy(&tag, value->data() + at, sizeof tag);
    memcpy(&id, value->data() + at + 4, sizeof id);
    if (tag != kUser && tag != kGroup) continue;
    id = Inside(tag == kUser ? users_ : groups_, id);
    memcpy(value->data() + at + 4, &id, sizeof id);
  }
}

// Revision 3 says whose root it is for; where that is the container's own, revision 2 says the
// same.
bool IdView::ShowCapability(std::string* value) const {
  struct vfs_ns_cap_data data;
  if (value->size() != sizeof data) return true;
  memcpy(&data, value->data(), sizeof data);
  data.rootid = Inside(users_, data.rootid);
  if (data.rootid == kNobody) return false;
  if (data.rootid == 0) {
    data.magic_etc = (data.magic_etc & VFS_CAP_FLAGS_MASK) | VFS_CAP_REVISION_2;
    value->resize(offsetof(struct vfs_ns_cap_data, rootid));
  }
  memcpy(value->data(), &data, value->size());
  return true;
}

}  // namespace caisson
