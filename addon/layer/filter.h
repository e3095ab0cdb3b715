// zone: native
#pragma once

namespace caisson::layer {

// The system calls that a process can make from here on; any other kills it. 0 or errno. In a build
// with sanitizers, which make calls of their own, nothing.
//
// Of an unpacking:
[[nodiscard]] int InstallWriterFilter();   // files beneath the root, memory, the decoder's end
[[nodiscard]] int InstallDecoderFilter();  // reading what is open, and memory
// Of an export: looking at files, writing to what is open, and memory.
[[nodiscard]] int InstallReaderFilter();

}  // namespace caisson::layer
