// zone: native
#pragma once

namespace caisson {

// Messages on stderr, for developers: only when --debug was given. Never in the child zone.
void SetDebug(bool on);
[[gnu::format(printf, 1, 2)]] void Debug(const char* format, ...);

}  // namespace caisson
