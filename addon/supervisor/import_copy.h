// zone: native
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <memory>

#include "base/result.h"
#include "supervisor/canonical_tar.h"

namespace caisson {

// Copies the contents of files and feeds them to the digest.
class ContentCopier {
 public:
  explicit ContentCopier(CanonicalTar& tar);

  // Shares the source's blocks if both file systems can; `target_fd` is empty. False: nothing done.
  [[nodiscard]] bool Clone(int source_fd, int target_fd);
  // Digests the `size` bytes of a clone.
  [[nodiscard]] Result<> Digest(int fd, uint64_t size);
  // Copies and digests exactly `size` bytes: a source that has become shorter ends in a hole.
  [[nodiscard]] Result<> Copy(int source_fd, int target_fd, uint64_t size);

 private:
  [[nodiscard]] Result<> Transfer(int source_fd, int target_fd, uint64_t size);

  CanonicalTar& tar_;
  std::unique_ptr<uint8_t[]> buffer_;
  bool may_clone_ = true;
};

}  // namespace caisson
