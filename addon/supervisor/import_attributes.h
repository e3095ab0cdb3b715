// zone: native
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "supervisor/canonical_tar.h"

namespace caisson {

// Whom files can be given to: anybody; those that the user namespace maps (the others show as
// nobody); the importing user alone.
enum class Owners { kAny, kMapped, kSelf };

// The rest belongs to the host (security.selinux, security.ima) or to overlay: a redirect or
// metacopy xattr of a foreign tree would make overlay read other files than these.
[[nodiscard]] bool BelongsToImage(std::string_view name) noexcept;
[[nodiscard]] bool IsAcl(std::string_view name) noexcept;
// Whether the value of an ACL is about others than owner, group and the rest.
[[nodiscard]] bool NamesSomebody(std::string_view acl) noexcept;

// Finds out by giving `fd` (fresh, ours) away; it is ours again afterwards.
[[nodiscard]] Owners ProbeOwners(int fd);

// The xattrs that belong to an image, in byte order of their names. `fd` is open for reading.
[[nodiscard]] Result<std::vector<Xattr>> ReadXattrs(int fd, Owners owners);
// The same of `name` in the folder `folder_fd`, not following a link. Changes the working folder: a
// link, device or fifo has no descriptor that xattr calls take.
[[nodiscard]] Result<std::vector<Xattr>> ReadXattrsAt(int folder_fd, const char* name,
                                                      Owners owners);

// Sets everything on an open file or folder whose content is complete. The order matters: chown and
// write take set-id bits and file capabilities away, everything changes ctime and folders' mtime.
[[nodiscard]] Result<> ApplyAttributes(int fd, const struct stat& status,
                                       const std::vector<Xattr>& xattrs);
// The same for a link, device or fifo. Changes the working folder.
[[nodiscard]] Result<> ApplyAttributesAt(int folder_fd, const char* name, const struct stat& status,
                                         const std::vector<Xattr>& xattrs);

}  // namespace caisson
