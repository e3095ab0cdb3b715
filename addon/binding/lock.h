// zone: loop
#pragma once

#include <node_api.h>

namespace caisson::binding {

// lock(path, mode, wait): see Binding.lock in lib/native/types.ts.
napi_value Lock(napi_env env, napi_callback_info info);

}  // namespace caisson::binding
