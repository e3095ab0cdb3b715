// zone: native
#pragma once

#include <stdint.h>
#include <sys/stat.h>

#include <string_view>
#include <vector>

#include "supervisor/canonical_tar.h"

namespace caisson {

// Owners as a container's user namespace shows them, of files that are read from outside of it.
class IdView {
 public:
  // As /proc/PID/uid_map has them: lines of "inside outside size". Both empty: the reader's own
  // view. False: they are none.
  [[nodiscard]] bool Set(std::string_view uid_map, std::string_view gid_map);

  void Show(struct stat* status) const;
  // In access control lists, and in capabilities whose root is the container's.
  void Show(std::vector<Xattr>* xattrs) const;

 private:
  struct Range {
    uint32_t inside;
    uint32_t outside;
    uint32_t size;
  };
  using Ranges = std::vector<Range>;
  [[nodiscard]] static bool Parse(std::string_view map, Ranges* ranges);
  [[nodiscard]] static uint32_t Inside(const Ranges& ranges, uint32_t outside);
  void ShowAcl(std::string* value) const;
  // False: it is for a root that the container knows nothing of.
  [[nodiscard]] bool ShowCapability(std::string* value) const;

  Ranges users_;
  Ranges groups_;
};

}  // namespace caisson
