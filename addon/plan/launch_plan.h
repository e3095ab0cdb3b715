// zone: native (the structs are read in the child zone)
#pragma once

#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/failure.h"
#include "plan/limits_plan.h"
#include "plan/list.h"
#include "plan/protocol.h"

// The launch plan: what a request says, as flat structs in one arena. Made by ParseLaunch /
// ParseExec (plan/parse.h), completed by launch/ with descriptors, then only read: by the child
// too, so there is nothing here but numbers and pointers into the arena.
namespace caisson {

struct MountItem {
  protocol::MountKind kind = protocol::MountKind::kBind;
  const char* target = nullptr;   // absolute, in the container
  const char* source = nullptr;   // host path, or null
  const char* scratch = nullptr;  // overlay: folder for upper/ and work/
  List<const char*> data;         // fsconfig options
  uint64_t attr = 0;              // MOUNT_ATTR_*
  uint64_t propagation = 0;       // MS_*
  bool recursive = true;
  bool attr_recursive = false;
  bool id_mapped = false;  // its files as the container's user namespace has them
};

struct FileItem {
  const char* path = nullptr;
  const uint8_t* content = nullptr;
  uint32_t bytes = 0;
  mode_t mode = 0644;
};

struct SysctlItem {
  const char* key = nullptr;  // dotted or slashed, as in OCI: "net.ipv4.ip_forward"
  const char* value = nullptr;
};

struct DeviceItem {
  const char* path = nullptr;
  mode_t kind_and_mode = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct RlimitItem {
  int kind = 0;
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct Capabilities {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
};

struct ProcessPlan {
  const char* const* argv = nullptr;  // null-terminated; at least one
  const char** envp = nullptr;        // null-terminated; one free slot before the end for HOME
  uint32_t envc = 0;
  List<const char*> exec_candidates;  // where to look for argv[0]: by PATH, or argv[0] itself
  const char* cwd = "/";
  const char* user = "";
  const char* apparmor = nullptr;  // what to write to /proc/self/attr/apparmor/exec
  const char* selinux = nullptr;   // what to write to /proc/self/attr/exec
  List<const char*> add_groups;
  Capabilities caps;
  List<RlimitItem> rlimits;
  List<sock_filter> seccomp;
  mode_t umask = 0022;
  int32_t oom_score_adj = 0;
  bool set_oom_score_adj = false;
  bool no_new_privileges = false;
  bool terminal = false;
  uint16_t columns = 80;  // of the terminal
  uint16_t rows = 24;
  bool set_home = false;
  protocol::StdioKind stdio[3] = {};
};

struct LogPlan {
  const char* path = nullptr;  // store-relative; null: no log
  uint64_t max_bytes = 0;
  uint32_t files = 0;
};

struct HookItem {
  protocol::HookPoint point = {};
  const char* path = nullptr;
  const char* const* argv = nullptr;  // null-terminated; at least one
  const char* const* envp = nullptr;  // null-terminated
  uint64_t timeout_ms = 0;            // 0: none
};

struct NamespaceItem {
  uint64_t kind = 0;           // CLONE_NEW*
  const char* path = nullptr;  // on the host
};

// What an OCI bundle says beyond a container of ours; see ParseBundle.
struct BundlePlan {
  const char* rootfs = nullptr;
  const char* cgroups_path = nullptr;  // null: no cgroup of its own
  const char* hook_state = "";         // members of the state's JSON, all but status and pid
  List<HookItem> hooks;
  List<NamespaceItem> namespaces;
};

// A user namespace of the container's own, as root makes it.
struct UserNamespacePlan {
  const char* uid_map = nullptr;  // as /proc/PID/uid_map takes it; null: there is none
  const char* gid_map = nullptr;
  uid_t owner_uid = 0;  // who its root is outside
  gid_t owner_gid = 0;
};

struct LaunchPlan {
  const char* folder = nullptr;         // store-relative container folder; null: a scratch slot
  List<const char*> layers;             // store-relative, lowest first
  const char* cgroup_name = nullptr;    // null: one of the supervisor's
  const char* cgroup_parent = nullptr;  // null: the runtime's own
  const char* hostname = nullptr;
  uint64_t namespaces = 0;  // CLONE_NEW*
  uint64_t shared = 0;      // CLONE_NEW* of those that another container has
  uint64_t timeout_ms = 0;  // 0: none
  List<MountItem> mounts;
  List<FileItem> files;
  List<const char*> masked_paths;
  List<const char*> read_only_paths;
  List<SysctlItem> sysctls;
  UserNamespacePlan user_namespace;
  List<const char*> time_offsets;  // lines of /proc/PID/timens_offsets; none: no namespace
  List<DeviceItem> devices;
  LogPlan log;
  LimitsPlan limits;
  List<DeviceRule> device_rules;  // empty: the default ones
  bool read_only_root = false;
  // Of an init (init/init.cc): its name, a place for the command's path, argv. Null: none is asked
  // for.
  const char** init_argv = nullptr;
  bool want_started = false;
  bool warm_pool = false;
  const char* domainname = nullptr;
  const char* mount_label = nullptr;  // SELinux's, of the file systems made for it
  BundlePlan bundle;
  ProcessPlan process;
};

// What an exec without a cgroup of its own is asked with to kill its whole tree: a signal to its
// subreaper, which passes every other one on. SIGRTMAX, which no program sends to another's.
constexpr int kKillTreeSignal = 64;

struct ExecPlan {
  uint32_t container = 0;  // id of the running Launch
  uint64_t timeout_ms = 0;
  bool want_started = false;
  bool time_namespace = false;  // the container has one of its own
  bool user_namespace = false;  // likewise; then:
  uid_t owner_uid = 0;
  gid_t owner_gid = 0;
  ProcessPlan process;
};

}  // namespace caisson
