// zone: native
#pragma once

#include "base/result.h"

namespace caisson::launch {

// A descriptor of the executable of init/init.cc, borrowed: made once in a process's life. It is
// alone on a file system of its own, which is read-only from then on: who finds it as /proc/1/exe
// can neither change it nor learn anything of this machine.
[[nodiscard]] Result<int> InitImage();

}  // namespace caisson::launch
