// zone: native
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <memory>
#include <string>

#include "launch/launch.h"
#include "plan/protocol.h"
#include "plan/shared_namespaces.h"
#include "supervisor/body.h"
#include "supervisor/log_writer.h"
#include "supervisor/loop.h"

namespace caisson {

// One container (Launch) or exec, from its request to its one last answer. A few hundred bytes
// while it idles: the request is dropped once it runs.
//
//   kQueued ──► kInHand ──► kStarting ──► kRunning ──► kEnding ──► answered
//                  │            │  report: a failure, or   │ pidfd; its log is drained
//                  │            │  the end (it runs)       │
//                  └────────────┴──► Failed                └──► Exited
struct Task {
  enum class Kind : uint8_t { kContainer, kExec };
  enum class State : uint8_t { kQueued, kInHand, kStarting, kRunning, kEnding };

  uint32_t id = 0;
  Kind kind = Kind::kContainer;
  State state = State::kQueued;
  protocol::Reason asked = protocol::Reason::kExited;  // kTimeout, kKilled: we ended it
  bool want_started = false;
  bool wants_terminal = false;
  bool with_init = false;
  bool own_filter = false;      // which may kill it before its exec
  bool kill_wanted = false;     // before its pid was known
  bool group_used = false;      // its group may hold groups, or anything: not to be recycled
  bool frozen = false;          // or about to be: nobody may be started in it
  bool fresh_group = false;     // it has device rules or a parent that no other container has
  bool own_group = false;       // one of the supervisor's: recycled
  bool own_folder = false;      // a scratch slot
  bool failed = false;          // the report said so: Failed when it is gone
  bool answer_due = false;      // ended, but what it has started has not yet
  bool user_namespace = false;  // of its own: nothing that is prepared is for it
  // It has a pid namespace of its own, so that the end of its first process is the end of all.
  bool own_pids = false;
  uint8_t stdio_kinds[3] = {};

  uint32_t container = 0;             // of an exec
  uint32_t peers[kSharedKinds] = {};  // of a container: whose namespaces it shares; 0: nobody's
  uint64_t host_namespaces = 0;       // of a container: CLONE_NEW* of those that are the host's
  uint32_t kills = 0;                 // of its group, on their way
  uint32_t next_exec = 0;             // number of its next exec's group
  pid_t pid = -1;
  uint64_t timeout_ms = 0;
  uint64_t cloned_ns = 0;
  uint64_t started_ns = 0;
  uint64_t oom_kills = 0;  // of its container's group, since it began
  uint64_t oom_before = 0;
  uint64_t oom_told = 0;  // of a container, to the program
  uint64_t controls = 0;  // protocol::Control that its group was made for; kEveryHierarchy

  UniqueFd pidfd;
  UniqueFd report;
  UniqueFd terminal_ends;  // where both come before exec
  UniqueFd terminal;       // the slave: it is held, so that the terminal lasts as long as the task
  UniqueFd mount_namespace;
  UniqueFd rootfs;    // one more mount of its overlay, for the next container
  uint32_t list = 0;  // of Pools, that the overlay came from
  Loop::Token pidfd_token = 0;
  Loop::Token report_token = 0;
  launch::OomWatch oom_watch;
  Loop::Token oom_token = 0;
  Loop::Timer timeout = {};

  std::string group;   // cgroup, "" without
  std::string limits;  // of that group, as they were asked
  GroupState group_state = GroupState::kAbsent;
  std::string folder;  // whose upper/ it writes to
  std::unique_ptr<LogWriter> log;

  siginfo_t status = {};
  rusage usage = {};
  uint64_t finished_ns = 0;
  Failure failure;
  std::string detail;

  // What only the start needs.
  struct Start {
    std::shared_ptr<Body> body;
    std::vector<std::string> layers;
    std::vector<UniqueFd> sources;
    UniqueFd stdio[3];
    std::string group_parent;
    std::string log_path;
    uint64_t log_max_bytes = 0;
    uint32_t log_files = 1;
    uint64_t namespaces = 0;
    bool may_mount = false;
    bool labelled = false;
  };
  std::unique_ptr<Start> start;

  // Without pid namespace or group of its own, its first process answers for what it has started.
  [[nodiscard]] bool is_subreaper() const { return !own_pids && group.empty(); }
  // The container whose end is its end as well; 0: none.
  [[nodiscard]] uint32_t depends_on() const {
    return kind == Kind::kExec ? container : peers[static_cast<size_t>(Shared::kPid)];
  }
};

[[nodiscard]] inline bool LimitsMemory(const Task& task) {
  return (task.controls & static_cast<uint64_t>(protocol::Control::kMemory)) != 0;
}

}  // namespace caisson
