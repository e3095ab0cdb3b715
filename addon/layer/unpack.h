// zone: native
#pragma once

#include "layer/attributes.h"
#include "layer/unpack_plan.h"

namespace caisson::layer {

// Makes a layer of the blob in `file_fd` (blob_source.h; `feed_fd` may be -1) in the root folder,
// which is new, empty and ours: run by a worker that has nothing else (supervisor/worker.h), and
// lets go of what it does not need any more. Decompressing is the work of a process of its own, a
// child of this one, that needs no right at all; digesting the archive, reading it and writing are
// this one's. Blocks for as long as it takes.
//
// On return the layer is whole, but not on the disk: who unpacks several has one Sync for them. A
// failure, or being killed, leaves what was made so far: one way to remove it is enough, the
// caller's.
//
// Writes one body of fields to `report_fd`, smaller than PIPE_BUF:
//   returns 0: kUnpackBlobDigest and what follows it in plan/protocol.h
//   returns 1: kStep, kErrno, kIndex, kDetail (what was wrong, or the entry that it was about)
[[nodiscard]] int RunUnpack(const UnpackPlan& plan, OverlayXattrs overlay, int file_fd, int feed_fd,
                            int report_fd);

}  // namespace caisson::layer
