// zone: native
#pragma once

#include "layer/blob_source.h"
#include "layer/ring.h"

namespace caisson::layer {

// Decompresses a blob into the ring, to its end; there it says what failed, with the detail as the
// note, or nothing, with the blob's digest as the note. Blocks for as long as that takes: a process
// of its own, which needs nothing of the machine but these descriptors and memory.
void DecodeInto(const BlobSource::Place& place, Ring* ring);

}  // namespace caisson::layer
