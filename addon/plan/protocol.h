// zone: native
#pragma once

#include <stdint.h>

namespace caisson::protocol {

// The channel between a program (lib/, addon/binding/) and its supervisor: one SOCK_SEQPACKET
// socket pair. lib/native/protocol.ts mirrors every number here; a unit test compares the two.
//
//   program                                   supervisor
//      │  (spawned with: fd 3 channel, fd 4 pidfd of the program)
//      │  Hello{version}  ───────────────────────►│  must be the first message
//      │◄──────────────────────  Welcome{version} │  or Failed, then the end of the channel
//      │                                          │
//      │  Launch{id} + fds  ─────────────────────►│
//      │◄──── Started{id} + pidfd  (when wanted)  │  exec has happened
//      │◄──── Exited{id}                          │  its end, exactly once; nothing for `id`
//      follows │  … or Failed{id}, exactly once           │  instead of Started and Exited │ │ │
//      Exec{id}: the same three answers        │ │  every other request: Done{id} or Failed{id} │
//      Close{id} ─────────────────────────────►│  kills and undoes everything │◄──── Done{id}, then
//      the end of the channel
//
// A request before Hello, a second Hello, a reply type from the program, an unknown type, a
// duplicate live `id`, a malformed body, a wrong descriptor count: Failed{id, Protocol} and the
// offending request is not acted on; only a bad hand-shake ends the channel.
constexpr uint32_t kVersion = 1;

struct Header {
  uint16_t type;      // Type
  uint16_t fd_count;  // descriptors that belong to the body; the memfd of a big body comes before
  uint32_t id;        // chosen by the program, unique among what is in flight or running
  uint32_t body_bytes;
  uint32_t flags;  // Flags
};
static_assert(sizeof(Header) == 16);

enum Flags : uint32_t {
  // The body lies in a sealed memfd of `body_bytes` bytes: the first descriptor of the message
  // (not counted in fd_count). Without it the body follows the header.
  kBodyInMemfd = 1,
};

constexpr uint32_t kMaxInlineBody = 64 * 1024;
constexpr uint32_t kMaxBody = 32 * 1024 * 1024;
constexpr uint32_t kMaxFds = 16;

enum class Type : uint16_t {
  // requests
  kHello = 1,
  kLaunch = 2,
  kExec = 3,
  kSignal = 4,  // Target, Signal: to one process (pid 1, or the exec's first process)
  kKill = 5,  // Target: SIGKILL to the whole tree; Done when it was sent, Exited follows for Target
  kRegister =
      6,  // Folder: store-relative folder to be removed at the end (journalled); before it is made
  kRemove = 7,  // Folder: removes it and everything below; absent is Done
  kImport = 8,  // ImportSource, ImportTarget: copies a host folder to a new layer folder
  kClose = 9,
  kWarm = 10,  // Layers: prepare overlays for these layers from now on (a hint)
  kRelease =
      11,  // Folder: forget it without removing (it now belongs to nobody: an undone Register)
  kResize = 12,  // Target, Columns, Rows
  kFreeze = 16,  // Target, a Launch: Done when all of it stands still
  kThaw = 17,    // Target: Done when it goes on
  // A layer from its archive: UnpackTarget, UnpackOffset, UnpackLength, UnpackMaxBytes,
  // UnpackMaxEntries. Descriptors: a regular file that holds the blob or comes to hold it, and,
  // where it does not yet, the read end of a pipe: each u64 in host order says how many bytes of
  // the blob are in the file by now; its end before there are UnpackLength is Failed{ECANCELED}.
  // The folder is there when this is Done, complete, and not before; on the disk by a Sync after
  // it.
  kUnpack = 40,
  // UnpackTarget, Layer… (lowest first; there may be none): folders that the archive of a layer
  // left out become what they are in the layers below it, and whiteouts of nothing there go away
  kSettle = 41,
  // ExportLayer: the archive of a layer that has come from a folder, written to the one descriptor.
  // Done (ImportResult, ImportTarBytes) when all of it is
  kExport = 45,
  // What a container has written: DiffForm, DiffUpper, what lies below it (Layer…, lowest first, or
  // ImportSource, a folder of the host), DiffMountPoint…, UidMap and GidMap where it has a user
  // namespace of its own. Written to the one descriptor; Done (ExportEntries, of archives also
  // ImportResult and ImportTarBytes) when all of it is
  kDiff = 46,
  // Nothing: all that was written to the store's file system before is on the disk when this is
  // Done
  kSync = 52,
  // answers
  kWelcome = 101,
  kDone = 102,
  kFailed = 103,
  kStarted = 104,
  kExited = 105,
  // Of a Launch that has started, with its id, between Started and Exited; each time that it was
  // seen, so that several may be one.
  kOomKilled = 106,  // somebody in it was killed for want of memory
};

// Tags are unique over the whole protocol, nested groups included.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // GCC takes a scoped enumerator for a shadow of kVersion
enum class Tag : uint16_t {
  // shared
  kVersion = 1,        // u64
  kTarget = 2,         // u64: the id of a Launch or Exec
  kSignal = 3,         // u64
  kFolder = 4,         // string, relative to the store, e.g. "containers/<id>"
  kStep = 5,           // u64: Failed
  kErrno = 6,          // u64: Failed
  kIndex = 7,          // u64: Failed
  kDetail = 8,         // string: Failed; text of the kernel (fs-context log) or of the parser
  kImportSource = 9,   // string: absolute host path
  kImportTarget = 10,  // string: store-relative final folder, e.g. "layers/<key>"
  kColumns = 11,       // u64: Resize; with kTerminal the first size
  kRows = 12,          // u64
  kImportResult =
      13,             // string: Done of an Import: "sha256:<hex>" of the canonical tar (the diffID)
  kImportBytes = 14,  // u64: Done of an Import: sum of file sizes
  kImportTarBytes = 15,  // u64: Done of an Import: length of the canonical tar

  // Welcome
  kCgroupMode = 20,     // u64: CgroupMode
  kSupervisorPid = 21,  // u64: host pid of the supervisor, for tests and diagnosis
  kBootstrapPid = 22,   // u64
  kHandPid = 23,        // u64, repeated
  kControls = 160,      // u64: bits of Control
  kMappedUids = 204,    // u64: how many ids there are, from 0 on, in the user namespace of it all
  kMappedGids = 205,    // u64

  // Launch: where things are
  kFolderContainer = 30,  // string: store-relative folder whose upper/ and work/ to use. Absent: a
                          // scratch slot of the supervisor's, removed after the end
  kLayer = 31,            // string, repeated, lowest first: store-relative folder ("layers/<key>")
  kCgroupName = 32,  // string: name below the runtime's cgroup; absent: one of the supervisor's
  kCgroupParent =
      188,             // string: absolute; the container's group is below a folder of the runtime's
                       // there. Not with kCgroupName
  kWantStarted = 33,   // u64 1: send Started
  kTimeoutMs = 34,     // u64: counts from exec; then the tree is killed, reason timeout
  kLogFile = 35,       // group: kLogPath, kLogMaxBytes, kLogFiles. With it stdout/stderr of the
                       // container are the supervisor's own pipes, written to the log
  kLogPath = 36,       // string: store-relative, e.g. "containers/<id>/log"
  kLogMaxBytes = 37,   // u64
  kLogFiles = 38,      // u64
  kNamespaces = 39,    // u64: CLONE_NEW* to make; default all but USER and TIME
  kHostname = 40,      // string
  kReadOnlyRoot = 41,  // u64 1
  kMount = 42,         // group, repeated, in order (kMountKind …)
  kFile = 43,  // group, repeated: small file over the rootfs (kFilePath, kFileContent, kFileMode)
  kMaskedPath = 44,    // string, repeated
  kReadOnlyPath = 45,  // string, repeated
  kSysctl = 46,        // group, repeated: kKey, kValue
  kDevice = 47,        // group, repeated: extra device nodes (kDevicePath, kDeviceKind, …)
  kStdin = 48,         // u64: StdioKind; descriptors of the message are taken in the order 0, 1, 2
  kStdout = 49,        // u64: StdioKind
  kStderr = 50,        // u64: StdioKind
  kWarmPool = 51,      // u64 1: the next one with these layers will come soon (run does this)
  kLimits = 161,       // group: what its cgroup may use (kMemoryLimit …)
  kDeviceRule = 182,   // group, repeated, in order: which devices may be opened or made, in place
                       // of the default rules (kRuleAllow …)

  // Mount
  kMountKind = 60,         // u64: MountKind
  kMountTarget = 61,       // string: absolute path in the container
  kMountSource = 62,       // string: host path (bind, overlay lower) or name
  kMountAttr = 63,         // u64: MOUNT_ATTR_* to set
  kMountData = 64,         // string, repeated: "key=value" or "flag" for fsconfig
  kMountPropagation = 65,  // u64: MS_PRIVATE, MS_SLAVE, MS_SHARED; 0 = private
  kMountRecursive = 66,    // u64 1: rbind (default for binds) ; 0: bind of the one mount
  kMountSourceFd = 67,     // reserved
  kMountScratch = 68,   // string: overlay: store-relative folder for upper/ and work/, or a plain
                        // name for a folder inside the scratch slot / container folder
  kMountIdMapped = 70,  // u64 1: its files as the user namespace has them
  kMountAttrRecursive = 69,  // u64 1: apply kMountAttr to the whole bound tree (rro)

  // File
  kFilePath = 80,
  kFileContent = 81,
  kFileMode = 82,

  // Pairs and devices
  kKey = 90,
  kValue = 91,
  kDevicePath = 92,
  kDeviceKind = 93,  // u64: S_IFCHR or S_IFBLK
  kDeviceMajor = 94,
  kDeviceMinor = 95,
  kDeviceMode = 96,
  kDeviceUid = 97,
  kDeviceGid = 98,

  // Process (Launch and Exec)
  kArg = 110,          // string, repeated: argv
  kEnv = 111,          // string, repeated: NAME=value; PATH is searched for argv[0]
  kCwd = 112,          // string: absolute; made if missing (Launch)
  kUser = 113,         // string: "", "0", "name", "uid:gid", "name:group" …; resolved in the rootfs
  kAddGroup = 114,     // string, repeated: further groups, name or number
  kCapBounding = 115,  // u64 bit masks
  kCapEffective = 116,
  kCapPermitted = 117,
  kCapInheritable = 118,
  kCapAmbient = 119,
  kNoNewPrivileges = 120,  // u64 1
  kRlimit = 121,           // group, repeated: kRlimitKind, kRlimitSoft, kRlimitHard
  kRlimitKind = 122,       // u64: RLIMIT_*
  kRlimitSoft = 123,       // u64; ~0 = RLIM_INFINITY
  kRlimitHard = 124,
  kUmask = 125,          // u64
  kOomScoreAdj = 126,    // u64: two's complement
  kSeccompFilter = 127,  // raw struct sock_filter[]
  kTerminal = 128,       // u64 1: stdio is a terminal of the container's own, its master the second
                         // descriptor of Started. No StdioKind but kLog for stdout beside it
  kSetHome = 129,        // u64 1: add HOME from the rootfs's passwd where kEnv has none
  kContainer = 130,      // u64: Exec: id of the running Launch
  kSeccomp = 131,        // group: the filter, made for kCapBounding; beside it no kSeccompFilter

  // Seccomp: kSeccompPolicy alone, or kProfile with all the rest
  kSeccompPolicy = 132,         // u64: SeccompPolicy
  kSeccompDefault = 133,        // u64: SECCOMP_RET_… for calls that no rule is about
  kSeccompArchitectures = 134,  // u64: bits of seccomp::Architecture, beside the machine's own
  kSeccompRule = 135,           // group, repeated, in order
  kSeccompNames = 136,          // string: names of calls, one space between them
  kSeccompVerdict = 137,        // u64: SECCOMP_RET_…
  kSeccompCondition = 138,      // group, repeated
  kSeccompArgument = 139,       // u64: 0 to 5
  kSeccompOperator = 140,       // u64: seccomp::Operator
  kSeccompValue = 141,          // u64
  kSeccompValueTwo = 142,       // u64

  // Limits: each absent unless asked for
  kMemoryLimit = 162,        // u64: bytes
  kMemorySwap = 163,         // u64: bytes, memory and swap together; ~0: unlimited
  kMemoryReservation = 164,  // u64: bytes
  kCpuShares = 165,          // u64: of v1; with it always kCpuWeight
  kCpuWeight = 166,          // u64: the same for v2
  kCpuQuota = 167,           // u64: microseconds in each kCpuPeriod, which comes with it
  kCpuPeriod = 168,          // u64: microseconds
  kCpusetCpus = 169,         // string: "0-3,5"
  kCpusetMems = 170,         // string
  kPidsLimit = 171,          // u64; ~0: unlimited
  kIoDevice = 172,           // group, repeated: kIoMajor, kIoMinor and what is limited
  kIoMajor = 173,
  kIoMinor = 174,
  kIoWeight = 175,         // u64: 1 to 1000
  kIoReadBytes = 176,      // u64: a second
  kIoWriteBytes = 177,     // u64: a second
  kIoReadRequests = 178,   // u64: a second
  kIoWriteRequests = 179,  // u64: a second
  kHugepage = 180,         // group, repeated: kKey (the size, "2MB"), kHugepageBytes
  kHugepageBytes = 181,    // u64

  // Device rule
  kRuleAllow = 183,   // u64: 0 or 1
  kRuleKind = 184,    // u64: 'c', 'b', or 'a' for both
  kRuleMajor = 185,   // u64; ~0: any
  kRuleMinor = 186,   // u64; ~0: any
  kRuleAccess = 187,  // u64: bits of DeviceAccess
  // Bundle: a Launch as an OCI runtime reads it, for the one-shot form of launch alone
  kRootfs = 240,         // string: host path of the root, in place of kLayer
  kHook = 241,           // group, repeated, in order
  kHookPoint = 242,      // u64: HookPoint
  kHookPath = 243,       // string: absolute; of the host, kStartContainer's of the container
  kHookArg = 244,        // string, repeated; absent: the path alone
  kHookEnv = 245,        // string, repeated
  kHookTimeoutMs = 246,  // u64; 0: none
  kHookState = 247,      // string: members of the state's JSON, all but status and pid
  kNamespacePath = 248,  // group, repeated: a namespace to join, in place of a new one
  kNamespaceKind = 249,  // u64: CLONE_NEW*
  kNamespaceFile = 250,  // string: absolute host path
  kDomainname = 251,     // string
  kCgroupsPath = 252,    // string: below the root of each hierarchy

  // Unpack
  kUnpackTarget = 206,      // string: store-relative folder; of a Settle: the layer
  kUnpackOffset = 207,      // u64: where in the file the blob begins
  kUnpackLength = 208,      // u64: of the blob
  kUnpackMaxBytes = 209,    // u64: of the archive; a longer one is Failed{EFBIG} with this index
  kUnpackMaxEntries = 210,  // u64: of the archive; the same
  // Done of an Unpack
  kUnpackBlobDigest = 211,  // string: "sha256:<hex>" of the blob
  kUnpackDiffId = 212,      // string: "sha256:<hex>" of the archive, what follows its end included
  kUnpackTarBytes = 213,    // u64: length of the archive
  kUnpackEntries = 214,     // u64
  kUnpackOmitted = 215,     // u64: how many folders and whiteouts are for Settle
  kUnpackHidesAll =
      216,  // u64 1: nothing of the layers below is to show, which overlay does not do

  // Export
  kExportLayer = 232,  // string: store-relative folder

  // Diff
  kDiffForm = 233,        // u64: DiffForm
  kDiffUpper = 234,       // string: store-relative folder; absent is empty
  kDiffMountPoint = 235,  // string, repeated: absolute path in the container: what a start has made
                          // there to mount on does not count
  kExportEntries = 236,   // u64: Done: how many there were, the top not counted

  // Exited
  kExitCode = 150,    // u64: present when it exited
  kExitSignal = 151,  // u64: present when a signal ended it
  kReason = 152,      // u64: Reason
  kStartedNs = 153,   // u64: CLOCK_REALTIME
  kFinishedNs = 154,
  kUserUs = 155,  // rusage of the process and of what it waited for
  kSystemUs = 156,
  kMaxRssBytes = 157,
  kOomKills = 158,  // u64: rise of the cgroup's OOM counter
  kPid = 159,       // u64: Started: pid inside the supervisor's pid namespace

  // Launch: namespaces that another running container has, each the id of its Launch; the flag is
  // not in kNamespaces then. What neither names is the supervisor's own: the host's.
  kSharedNet = 200,  // u64
  kSharedIpc = 201,  // u64: its /dev/shm, too
  kSharedUts = 202,  // u64
  kSharedPid = 203,  // u64
  // Time namespace
  kTimeOffset = 220,       // group, repeated: Launch: makes one of its own
  kTimeClock = 221,        // u64: CLOCK_MONOTONIC or CLOCK_BOOTTIME
  kTimeSeconds = 222,      // u64: two's complement
  kTimeNanoseconds = 223,  // u64: below 10^9
  kTimeNamespace = 224,    // u64 1: Exec: the container has one of its own

  kAppArmor = 225,    // string: Launch and Exec: name of a profile
  kSelinux = 226,     // string: Launch and Exec: label of the process
  kMountLabel = 227,  // string: Launch: label of what lies in the file systems made for it
  // User namespace of a container of root's: all four in a Launch, which makes it with all other
  // namespaces; the last two in an Exec
  kUidMap = 228,    // string: as /proc/PID/uid_map takes it
  kGidMap = 229,    // string
  kOwnerUid = 230,  // u64: who its root is outside
  kOwnerGid = 231,  // u64

  // Launch: an init
  kInit = 190,  // u64 1: process 1 is ours, which starts the command
};
#pragma GCC diagnostic pop

enum class DiffForm : uint64_t {
  kChanges = 1,  // of each one byte (A, M or D), its path without the first "/", NUL
  kLayer = 2,    // the archive of a layer
  kWhole = 3,    // an archive of all that is to be seen
};

enum class StdioKind : uint64_t {
  kNull = 0,        // /dev/null of the container
  kDescriptor = 1,  // the next descriptor of the message
  kLog = 2,         // a pipe that the supervisor reads into the log (stdout, stderr)
};

enum class MountKind : uint64_t {
  kBind = 1,  // kMountSource: host path; a missing target is made as a folder or file, by its kind
  kTmpfs = 2,
  kProc = 3,
  kSysfs = 4,
  kDev = 5,  // tmpfs with the standard nodes and links, devpts, shm, mqueue are mounts of their own
  kDevpts = 6,
  kMqueue = 7,
  kCgroup = 8,   // view of the container's own cgroup
  kOverlay = 9,  // lower = host path kMountSource, upper = kMountScratch
  kShm = 10,     // tmpfs; without data: 64 MiB, mode 1777
};

// The points of the OCI runtime-spec's hooks, in the order in which they are reached.
enum class HookPoint : uint64_t {
  kPrestart = 1,         // the runtime's namespaces; all of the container's are there
  kCreateRuntime = 2,    // the same
  kCreateContainer = 3,  // the container's namespaces, before the pivot
  kStartContainer = 4,   // in the container, before exec
  kPoststart = 5,        // the runtime's
  kPoststop = 6,         // the runtime's
};

enum class SeccompPolicy : uint64_t {
  kDefault = 1,
  kStrict = 2,   // the default one without 32-bit and x32 calls
  kProfile = 3,  // the one in this message
};

enum class Reason : uint64_t {
  kExited = 0,
  kSignaled = 1,
  kTimeout = 2,
  kKilled = 3,  // by a Kill request (or Close)
  kOom = 4,
  kLost = 5,
};

// What the cgroups of a runtime can do. A limit on anything else is refused when it is planned.
enum class Control : uint64_t {
  kMemory = 1,
  kSwap = 2,
  kCpu = 4,
  kCpuset = 8,
  kPids = 16,
  kIo = 32,        // throttles
  kIoWeight = 64,  // weights of devices
  kHugepages = 128,
  kFreeze = 256,
  kDevices = 512,
};

enum class DeviceAccess : uint64_t { kMake = 1, kRead = 2, kWrite = 4 };

enum class CgroupMode : uint64_t { kNone = 0, kV1 = 1, kHybrid = 2, kV2 = 3 };

}  // namespace caisson::protocol
