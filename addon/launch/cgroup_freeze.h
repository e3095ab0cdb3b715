// zone: native
#pragma once

namespace caisson::launch {

// Asks a v1 group to stand still. EBUSY: it did not within a few looks. It can stay FREEZING for
// ever while members fork, and is to be thawed before it is asked again.
[[nodiscard]] int FreezeOnceV1(int folder);

}  // namespace caisson::launch
