// zone: native
#pragma once

#include "plan/protocol.h"
#include "supervisor/tree_walk.h"

namespace caisson {

// Writes what `form` says of `tree` to `out_fd`: changes (changes.h), or a canonical tar stream
// (canonical_tar.h), of a layer with whiteouts as image-spec has them. Blocks for as long as the
// reader takes: run by a worker of its own. Descriptors are borrowed.
//
// Of a layer that an import has made, or that was unpacked from such a stream: the bytes that its
// diffID is the digest of. Nothing in it is trusted, and of a container nothing stays as it is
// (tree_walk.h). Of a container's folder the xattrs that a layer cannot have are left out. What
// begins with ".wh." is refused with EINVAL where it would mean something else: in a layer.
//
// Writes one body of fields to `report_fd`, smaller than PIPE_BUF:
//   returns 0: kImportResult, kImportTarBytes (but for changes), kExportEntries
//   returns 1: kStep, kErrno, kIndex, kDetail (the path that it was about)
[[nodiscard]] int RunExport(const Tree& tree, protocol::DiffForm form, int out_fd, int report_fd);

}  // namespace caisson
