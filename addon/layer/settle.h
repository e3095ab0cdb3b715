// zone: native
#pragma once

#include <span>

#include "base/result.h"
#include "layer/attributes.h"

namespace caisson::layer {

// Gives every folder beneath `layer_fd` that its archive left out (OmittedMark) the mode, owner,
// times and xattrs of the folder that a container would find there without this layer: that of the
// topmost of the layers below, which come lowest first, unless one above it has something else in
// its place or hides it. Where there is none it stays 0755 and root's. Then its mark is taken away.
//
// Takes away whiteouts in folders that are merged with none below: there they hide nothing, and
// overlay, which looks for them only where it merges, would list them. Folders that were left out,
// and held nothing else, go with them.
//
// All layers are ours, complete, and nobody else's to change; done again, it does the same.
[[nodiscard]] Result<> Settle(int layer_fd, std::span<const int> lower_fds, OverlayXattrs overlay);

}  // namespace caisson::layer
