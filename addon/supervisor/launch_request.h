// zone: native
#pragma once

#include <string>
#include <vector>

#include "base/fields.h"
#include "base/result.h"
#include "plan/protocol.h"
#include "plan/shared_namespaces.h"

namespace caisson {

// What the loop itself must know of a Launch or Exec. A hand reads the whole of it, strictly.
struct LaunchRequest {
  std::string folder;               // "": a scratch slot
  std::vector<std::string> layers;  // lowest first
  std::string group;                // "": one of the supervisor's
  std::string group_parent;         // "": the runtime's own group
  uint64_t timeout_ms = 0;          // 0: none
  uint64_t namespaces = 0;
  uint32_t shared[kSharedKinds] = {};  // ids of running Launches; 0: none
  uint64_t controls = 0;               // protocol::Control that its limits need
  std::string limits;                  // all of them, as they were asked; "": none
  std::string log_path;                // "": no log
  uint64_t log_max_bytes = 0;
  uint32_t log_files = 1;
  uint32_t sources = 0;  // host paths to open first
  bool own_device_rules = false;
  bool user_namespace = false;
  bool own_filter = false;  // of system calls
  bool may_mount = true;    // by its capabilities, or in a user namespace
  bool want_started = false;
  bool terminal = false;
  bool labelled = false;  // its file systems: nothing that is prepared will do
  bool init = false;
  bool warm = false;
  protocol::StdioKind stdio[3] = {};
};

struct ExecRequest {
  uint32_t container = 0;
  uint64_t timeout_ms = 0;
  bool own_filter = false;
  bool may_mount = true;
  bool want_started = false;
  bool terminal = false;
  protocol::StdioKind stdio[3] = {};
};

// Failure{kParse, errno, the tag}; kProtocol when `fds` is not what the three StdioKinds ask for.
[[nodiscard]] Result<LaunchRequest> ReadLaunchRequest(Bytes body, size_t fds);
[[nodiscard]] Result<ExecRequest> ReadExecRequest(Bytes body, size_t fds);

// A failed step in words: the path, key or name that item `failure.index` of the request is about;
// "" when there is none.
[[nodiscard]] std::string DetailOf(const Failure& failure, Bytes body);

}  // namespace caisson
