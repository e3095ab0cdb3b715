// zone: native
#pragma once

namespace caisson {

// Writes the canonical tar stream (canonical_tar.h) of the layer behind `layer_fd` to `tar_fd`: for
// one that an import has made, the bytes that its diffID is the digest of. Blocks for as long as
// the reader takes: run by a worker of its own. Descriptors are borrowed.
//
// Nobody changes a layer, and nothing in it is trusted: no link is followed, nothing is opened but
// files and folders.
//
// Writes one body of fields to `report_fd`, smaller than PIPE_BUF:
//   returns 0: kImportResult, kImportTarBytes
//   returns 1: kStep, kErrno, kIndex, kDetail (the path below the layer that it was about)
[[nodiscard]] int RunExport(int layer_fd, int tar_fd, int report_fd);

}  // namespace caisson
