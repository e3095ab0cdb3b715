// zone: native (usable in the child zone)
#pragma once

#include <stdint.h>

#include <type_traits>

namespace caisson {

// Every step that can fail on the way to a process, as `X(Name, "syscall or what it does")`.
// The numbers are part of the protocol: lib/native/steps.ts holds the same table, a unit test
// compares the two. Append only.
#define CAISSON_STEPS(X)                           \
  X(None, "")                                      \
  /* bootstrap of the supervisor */                \
  X(ReadOptions, "options")                        \
  X(UserNamespace, "unshare(CLONE_NEWUSER)")       \
  X(MapIds, "uid_map")                             \
  X(NonDumpable, "prctl(PR_SET_DUMPABLE)")         \
  X(Memfd, "memfd_create")                         \
  X(Reexec, "execveat")                            \
  X(PidNamespace, "clone3(CLONE_NEWPID)")          \
  X(MountNamespace, "unshare(CLONE_NEWNS)")        \
  X(SlimRoot, "pivot_root")                        \
  X(Store, "open")                                 \
  X(RunFolder, "open")                             \
  X(Journal, "write")                              \
  X(CgroupRoot, "mkdir")                           \
  X(Hands, "clone3")                               \
  /* requests */                                   \
  X(Protocol, "recvmsg")                           \
  X(Parse, "parse")                                \
  X(Arena, "mmap")                                 \
  /* prepared by a hand before the clone */        \
  X(CgroupCreate, "mkdir")                         \
  X(CgroupLimit, "write")                          \
  X(NetNamespace, "unshare(CLONE_NEWNET)")         \
  X(ScratchFolder, "mkdir")                        \
  X(Overlay, "fsconfig")                           \
  X(BindSource, "open_tree")                       \
  X(Clone, "clone3")                               \
  X(HandLost, "hand")                              \
  X(Report, "read")                                \
  /* the child, in the order of the step table */  \
  X(AwaitStart, "read")                            \
  X(CgroupJoin, "write")                           \
  X(CgroupNamespace, "unshare(CLONE_NEWCGROUP)")   \
  X(NetJoin, "setns")                              \
  X(Loopback, "ioctl")                             \
  X(Propagation, "mount_setattr")                  \
  X(RootMount, "move_mount")                       \
  X(MountTarget, "openat2")                        \
  X(Mount, "move_mount")                           \
  X(Devices, "mknodat")                            \
  X(Files, "openat")                               \
  X(MaskedPath, "move_mount")                      \
  X(ReadOnlyPath, "mount_setattr")                 \
  X(Pivot, "pivot_root")                           \
  X(ReadOnlyRoot, "mount_setattr")                 \
  X(Hostname, "sethostname")                       \
  X(Sysctl, "write")                               \
  X(User, "openat2")                               \
  X(Groups, "setgroups")                           \
  X(Stdio, "fchown")                               \
  X(Terminal, "ioctl")                             \
  X(Rlimit, "prlimit")                             \
  X(OomScore, "write")                             \
  X(Session, "setsid")                             \
  X(Keyring, "keyctl")                             \
  X(Workdir, "chdir")                              \
  X(Credentials, "setresuid")                      \
  X(Capabilities, "capset")                        \
  X(NoNewPrivileges, "prctl(PR_SET_NO_NEW_PRIVS)") \
  X(Seccomp, "seccomp")                            \
  X(DieWithParent, "prctl(PR_SET_PDEATHSIG)")      \
  X(CloseDescriptors, "close_range")               \
  X(FindExecutable, "faccessat2")                  \
  X(Exec, "execve")                                \
  /* join (exec into a running container) */       \
  X(JoinNamespaces, "setns")                       \
  X(Subreaper, "prctl(PR_SET_CHILD_SUBREAPER)")    \
  /* after the end */                              \
  X(Remove, "unlinkat")                            \
  X(CgroupRemove, "rmdir")                         \
  X(Log, "write")                                  \
  X(Import, "import")                              \
  X(NotRunning, "pidfd_open")                      \
  X(ImportSource, "openat2")                       \
  X(ImportTarget, "openat")                        \
  X(ImportCopy, "copy_file_range")                 \
  X(ImportAttributes, "fchownat")                  \
  X(ShareNamespace, "setns")                       \
  X(CgroupDevices, "bpf")                          \
  X(OutOfMemory, "memory.max")                     \
  X(Hook, "hook")                                  \
  X(Freeze, "write")                               \
  X(TimeNamespace, "unshare(CLONE_NEWTIME)")       \
  X(Label, "write")                                \
  X(Init, "execveat")                              \
  X(CgroupParent, "write")                         \
  X(MapMount, "mount_setattr(MOUNT_ATTR_IDMAP)")   \
  /* a layer from its archive */                   \
  X(Unpack, "unpack")                              \
  X(UnpackDecode, "decompress")                    \
  X(UnpackTar, "tar")                              \
  X(UnpackWrite, "openat")                         \
  X(Settle, "fchownat")                            \
  X(Export, "export")

enum class Step : uint16_t {
#define CAISSON_STEP_ENUM(name, what) k##name,
  CAISSON_STEPS(CAISSON_STEP_ENUM)
#undef CAISSON_STEP_ENUM
      kCount
};

// Which step, which errno, which item of the plan (mount no. 3). Data only: the child writes it to
// a close-on-exec pipe, the parent adds the path from its own plan, TypeScript makes the error.
struct Failure {
  Step step = Step::kNone;
  uint16_t reserved = 0;
  int32_t error = 0;
  uint32_t index = 0;
};
static_assert(std::is_trivially_copyable_v<Failure> && sizeof(Failure) == 12);

}  // namespace caisson
