// zone: native
#pragma once

#include <string>

#include "base/result.h"

namespace caisson {

enum class Privilege { kRoot, kRootless };

// A setuid program that may map subordinate ids, and which.
struct IdHelper {
  std::string program;  // newuidmap or newgidmap, absolute
  std::string map;      // "0:1000:1,1:100000:65536": inside, outside, how many. Empty: none
};
struct IdHelpers {
  IdHelper uids;
  IdHelper gids;
};

// caisson-supervisor supervise --root DIR --run DIR --mode root|rootless --id ID
//                              --cgroup-parent PATH [--host-pids] [--debug]
//                              [--newuidmap PROGRAM --uid-map MAP]
//                              [--newgidmap PROGRAM --gid-map MAP]
struct Options {
  std::string root;           // the store
  std::string run;            // the folder of run folders
  std::string id;             // of this runtime: a file name
  std::string cgroup_parent;  // absolute, below the root of the cgroup namespace
  Privilege privilege = Privilege::kRoot;
  IdHelpers id_helpers;    // rootless
  bool host_pids = false;  // no pid namespace of its own: for containers in the machine's
  bool debug = false;      // messages on stderr
  bool sealed = false;     // internal: this image runs from the sealed copy of itself
};

// `detail` names the argument that is wrong.
[[nodiscard]] Result<Options> ParseOptions(int argc, char** argv, std::string* detail);

// A path inside the store, as requests and journals name it: relative, plain components only, no
// control characters, short enough for every message.
[[nodiscard]] bool IsStorePath(std::string_view path);
// One component of such a path.
[[nodiscard]] bool IsPlainName(std::string_view name);

}  // namespace caisson
