// zone: native
#pragma once

namespace caisson::layer {

// The system calls that the two processes of an unpacking can make from here on; any other kills
// the process. 0 or errno. In a build with sanitizers, which make calls of their own, nothing.
[[nodiscard]] int InstallWriterFilter();   // files beneath the root, memory, the decoder's end
[[nodiscard]] int InstallDecoderFilter();  // reading what is open, and memory

}  // namespace caisson::layer
