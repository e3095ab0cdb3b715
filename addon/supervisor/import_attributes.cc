// zone: native
#include "supervisor/import_attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace caisson {
namespace {

constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

// An attribute that went away meanwhile, or that cannot be said in this user namespace (a
// capability of an unmapped root, EOVERFLOW).
bool IsAbsent(int error) noexcept {
  return error == ENODATA || error == EOVERFLOW || error == EOPNOTSUPP;
}

// `list(buffer, size)` and `get(name, buffer, size)` are listxattr and getxattr of one file.
template <typename List, typename Get>
Result<std::vector<Xattr>> Read(List list, Get get, Owners owners) {
  char names[XATTR_LIST_MAX];
  const ssize_t names_bytes = list(names, sizeof names);
  if (names_bytes < 0) {
    if (errno == EOPNOTSUPP) return std::vector<Xattr>();
    return FailErrno(Step::kImportSource);
  }
  std::vector<Xattr> xattrs;
  for (const char* name = names; name < names + names_bytes; name += strlen(name) + 1) {
    if (!BelongsToImage(name)) continue;
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t bytes = get(name, value.data(), value.size());
    if (bytes < 0) {
      if (IsAbsent(errno)) continue;
      return FailErrno(Step::kImportSource);
    }
    value.resize(static_cast<size_t>(bytes));
    if (owners == Owners::kSelf && IsAcl(name) && NamesSomebody(value)) continue;
    value.shrink_to_fit();
    xattrs.push_back({.name = name, .value = std::move(value)});
  }
  std::ranges::sort(xattrs, {}, &Xattr::name);
  return xattrs;
}

}  // namespace

bool IsAcl(std::string_view name) noexcept {
  return name == kAccessAcl || name == kDefaultAcl;
}

bool BelongsToImage(std::string_view name) noexcept {
  if (name.starts_with("user.overlay.") || name.starts_with("trusted.overlay.")) return false;
  return name.starts_with("user.") || name.starts_with("trusted.") ||
         name == "security.capability" || IsAcl(name);
}

// acl(5) as an xattr: a u32 version, then entries of u16 tag, u16 permissions, u32 id.
bool NamesSomebody(std::string_view acl) noexcept {
  constexpr uint16_t kUser = 0x02;
  constexpr uint16_t kGroup = 0x08;
  for (size_t at = 4; at + 8 <= acl.size(); at += 8) {
    uint16_t tag = 0;
    memcpy(&tag, acl.data() + at, sizeof tag);
    if (tag == kUser || tag == kGroup) return true;
  }
  return false;
}

Owners ProbeOwners(int fd) {
  constexpr uid_t kSomebodyElse = 1;
  // Beyond what any user is given.
  constexpr uid_t kUnmapped = 0xfffffff0;
  if (fchown(fd, kSomebodyElse, kSomebodyElse) != 0) return Owners::kSelf;
  const bool all = fchown(fd, kUnmapped, kUnmapped) == 0;
  if (fchown(fd, 0, 0) != 0) return Owners::kSelf;
  return all ? Owners::kAny : Owners::kMapped;
}

Result<std::vector<Xattr>> ReadXattrs(int fd, Owners owners) {
  return Read(
      [&](char* names, size_t size) { return flistxattr(fd, names, size); },
      [&](const char* name, char* value, size_t size) { return fgetxattr(fd, name, value, size); },
      owners);
}

Result<std::vector<Xattr>> ReadXattrsAt(int folder_fd, const char* name, Owners owners) {
  if (fchdir(folder_fd) != 0) return FailErrno(Step::kImportSource);
  auto xattrs = Read([&](char* names, size_t size) { return llistxattr(name, names, size); },
                     [&](const char* xattr, char* value, size_t size) {
                       return lgetxattr(name, xattr, value, size);
                     },
                     owners);
  if (!xattrs && xattrs.error().error == ENOENT) return std::vector<Xattr>();
  return xattrs;
}

Result<> ApplyAttributes(int fd, const struct stat& status, const std::vector<Xattr>& xattrs) {
  struct stat now;
  if (fstat(fd, &now) != 0) return FailErrno(Step::kImportAttributes);
  const bool owned = now.st_uid == status.st_uid && now.st_gid == status.st_gid;
  if (!owned && fchown(fd, status.st_uid, status.st_gid) != 0) {
    return FailErrno(Step::kImportAttributes);
  }
  if ((!owned || now.st_mode != status.st_mode) && fchmod(fd, status.st_mode & 07777) != 0) {
    return FailErrno(Step::kImportAttributes);
  }
  for (const Xattr& xattr : xattrs) {
    if (fsetxattr(fd, xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0) != 0) {
      return FailErrno(Step::kImportAttributes);
    }
  }
  const timespec times[] = {status.st_atim, status.st_mtim};
  if (futimens(fd, times) != 0) return FailErrno(Step::kImportAttributes);
  return {};
}

Result<> ApplyAttributesAt(int folder_fd, const char* name, const struct stat& status,
                           const std::vector<Xattr>& xattrs) {
  if (fchownat(folder_fd, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno(Step::kImportAttributes);
  }
  if (!S_ISLNK(status.st_mode) && fchmodat(folder_fd, name, status.st_mode & 07777, 0) != 0) {
    return FailErrno(Step::kImportAttributes);
  }
  if (!xattrs.empty() && fchdir(folder_fd) != 0) return FailErrno(Step::kImportAttributes);
  for (const Xattr& xattr : xattrs) {
    if (lsetxattr(name, xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0) != 0) {
      return FailErrno(Step::kImportAttributes);
    }
  }
  const timespec times[] = {status.st_atim, status.st_mtim};
  if (utimensat(folder_fd, name, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return FailErrno(Step::kImportAttributes);
  }
  return {};
}

}  // namespace caisson
