// zone: native
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/result.h"
#include "supervisor/canonical_tar.h"

namespace caisson::layer {

enum class EntryType : uint8_t {
  kFile,
  kHardLink,
  kSymbolicLink,
  kCharacterDevice,
  kBlockDevice,
  kFolder,
  kFifo,
};

// One entry of a tar archive, as it is meant: all extensions are worked in. Nothing is promised
// about the names but that they hold no NUL.
struct Entry {
  EntryType type = EntryType::kFile;
  std::string path;
  std::string link;  // of a link: the target's text, or the first name
  mode_t mode = 0;   // 07777
  uint32_t uid = 0;  // never ~0, which chown(2) takes for "leave it"
  uint32_t gid = 0;
  uint64_t size = 0;  // of a file, holes included
  timespec mtime = {};
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<Xattr> xattrs;
};

// Who is told what an archive holds, in order: Begin, any number of Data, End.
class EntrySink {
 public:
  [[nodiscard]] virtual Result<> Begin(const Entry& entry) = 0;
  // Content of a file; offsets grow, what lies between is a hole.
  [[nodiscard]] virtual Result<> Data(uint64_t offset, Bytes data) = 0;
  [[nodiscard]] virtual Result<> End() = 0;

 protected:
  ~EntrySink() = default;
};

}  // namespace caisson::layer
