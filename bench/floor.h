// The floors: what a launch of one container costs when C does it and nothing else.
//
// naive.c does every step on the path; prepared.c makes beforehand what does not depend on the
// call. Both walk the tables of this file, which hold the steps of addon/child in the same order
// and with the same results, written in the shortest way the kernel allows: trusted relative paths
// instead of openat2, the classic mount(2) where one call does what three do elsewhere. So whatever
// the library does more (checks, channel, loop, JavaScript) is in its number and not in these.
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// <sys/mount.h> and <linux/mount.h> cannot be included together with every glibc.
int mount(const char*, const char*, const char*, unsigned long, const void*);
int umount2(const char*, int);
enum {
  kMsRdonly = 1,
  kMsNosuid = 2,
  kMsNodev = 4,
  kMsNoexec = 8,
  kMsRemount = 32,
  kMsBind = 4096,
  kMsRec = 16384,
  kMsPrivate = 1 << 18,
  kMntDetach = 2,
};

#ifndef PIDFD_GET_MNT_NAMESPACE
#define PIDFD_GET_MNT_NAMESPACE _IO(0xFF, 3)
#endif

enum { kMaxHierarchies = 8, kMaxSteps = 64 };

static inline uint64_t Now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void Die(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

// ---- what all launches of a run share --------------------------------------------------------

struct Hierarchy {
  const char* name;  // of v1: its controller
  int root_fd;
  int group_fd;  // this program's own group: the containers' parent
  int v2;
};

static struct {
  const char* image;     // the image's only layer
  const char* skeleton;  // the layer below it, which has the mount points
  const char* folder;    // upper and work folders are made below it
  const char* program;   // what is executed
  struct Hierarchy hierarchies[kMaxHierarchies];
  int hierarchy_count;
  int own_pid_ns;
} g;

// Times of the steps, written by the child too: shared memory.
static struct Marks {
  uint64_t begin;  // of the timed part
  uint64_t child[kMaxSteps];
  uint64_t parent[kMaxSteps];
  uint32_t failed_step;
  int32_t error;
}* marks;

struct Launch {
  char name[32];  // cgroup and folder name
  char scratch[160];
  int parent_fd[kMaxHierarchies];  // where the group `name` lies, -1 where it has none of its own
  int group_fd[kMaxHierarchies];
  int procs_fd[kMaxHierarchies];
  int rootfs;  // the overlay, detached
  int net;     // a prepared network namespace, else -1
  int stdin_fd;
  int out[2];
  int err[2];
  int report[2];
  int pidfd;
  int held_mount_ns;
  pid_t pid;
};

typedef int (*StepFunction)(struct Launch*);
struct Step {
  const char* name;
  StepFunction run;
};

static void WalkSteps(const struct Step* steps, struct Launch* launch, uint64_t* times) {
  for (int i = 0; steps[i].run != NULL; ++i) {
    if (steps[i].run(launch) != 0) {
      fprintf(stderr, "step %s: %s\n", steps[i].name, strerror(errno));
      exit(1);
    }
    times[i] = Now();
  }
}

static int WriteText(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t n = write(fd, text, strlen(text));
  close(fd);
  return n < 0 ? -1 : 0;
}

// ---- steps before the clone ----------------------------------------------------------------

static int StepScratch(struct Launch* l) {
  char path[192];
  snprintf(l->scratch, sizeof l->scratch, "%s/%s", g.folder, l->name);
  if (mkdir(l->scratch, 0700) != 0) return -1;
  snprintf(path, sizeof path, "%s/upper", l->scratch);
  if (mkdir(path, 0755) != 0) return -1;
  snprintf(path, sizeof path, "%s/work", l->scratch);
  return mkdir(path, 0700);
}

static int Config(int fs, const char* key, const char* value) {
  return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

// `names`: each layer by a key of its own, and no identity, which kernels before 6.8 do not know.
// They say so at the end.
static int MakeOverlay(struct Launch* l, int names) {
  char path[192];
  char both[400];
  const int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (fs < 0) return -1;
  int error = 0;
  if (names) {
    error |= Config(fs, "lowerdir+", g.image) | Config(fs, "lowerdir+", g.skeleton);
    error |= Config(fs, "uuid", "null");
  } else {
    snprintf(both, sizeof both, "%s:%s", g.image, g.skeleton);
    error |= Config(fs, "lowerdir", both);
  }
  snprintf(path, sizeof path, "%s/upper", l->scratch);
  error |= Config(fs, "upperdir", path);
  snprintf(path, sizeof path, "%s/work", l->scratch);
  error |= Config(fs, "workdir", path);
  error |= Config(fs, "redirect_dir", "nofollow") | Config(fs, "metacopy", "off");
  error |= Config(fs, "index", "off");
  error |= (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0);
  if (error == 0) error = (int)syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  l->rootfs = error != 0 ? -1 : (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
  close(fs);
  return l->rootfs < 0 ? -1 : 0;
}

static int StepOverlay(struct Launch* l) {
  static int by_names = 1;
  if (by_names && MakeOverlay(l, 1) == 0) return 0;
  by_names = 0;
  return MakeOverlay(l, 0);
}

static int StepCgroup(struct Launch* l) {
  for (int i = 0; i < g.hierarchy_count; ++i) {
    l->parent_fd[i] = g.hierarchies[i].group_fd;
    if (mkdirat(g.hierarchies[i].group_fd, l->name, 0755) != 0) return -1;
    l->group_fd[i] = openat(g.hierarchies[i].group_fd, l->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (l->group_fd[i] < 0) return -1;
    l->procs_fd[i] = -1;
    if (g.hierarchies[i].v2) continue;  // CLONE_INTO_CGROUP
    // By a thread of itself, the kernel waits for no RCU grace period.
    l->procs_fd[i] = openat(l->group_fd[i], "tasks", O_WRONLY | O_CLOEXEC);
    if (l->procs_fd[i] < 0) return -1;
  }
  return 0;
}

static int WriteAt(int folder, const char* file, const char* text) {
  const int fd = openat(folder, file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t n = write(fd, text, strlen(text));
  close(fd);
  return n < 0 ? -1 : 0;
}

// What the benchmark's containers are limited to: the same as in child.mjs and in the bundles.
static const struct Limit {
  const char* controller;  // of v1, in the order of the writes
  const char* file_v1;
  const char* value_v1;
  const char* file_v2;
  const char* value_v2;
} kLimits[] = {
    {"memory", "memory.limit_in_bytes", "268435456", "memory.max", "268435456"},
    {"memory", "memory.memsw.limit_in_bytes", "536870912", "memory.swap.max", "268435456"},
    {"cpu", "cpu.shares", "512", "cpu.weight", "59"},
    {"cpu", "cpu.cfs_period_us", "100000", "cpu.max", "100000 100000"},
    {"cpu", "cpu.cfs_quota_us", "100000", NULL, NULL},
    {"cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"},
    {"pids", "pids.max", "100", "pids.max", "100"},
};
static int with_limits;

static int StepLimits(struct Launch* l) {
  for (size_t k = 0; with_limits && k < sizeof kLimits / sizeof *kLimits; ++k) {
    const struct Limit* limit = &kLimits[k];
    for (int i = 0; i < g.hierarchy_count; ++i) {
      const struct Hierarchy* h = &g.hierarchies[i];
      const int all = h->v2 && g.hierarchy_count == 1;
      if (!all && (h->v2 || strcmp(h->name, limit->controller) != 0)) continue;
      const char* file = all ? limit->file_v2 : limit->file_v1;
      if (file != NULL &&
          WriteAt(l->group_fd[i], file, all ? limit->value_v2 : limit->value_v1) != 0) {
        return -1;
      }
    }
  }
  return 0;
}

static int null_fd = -1;

static int StepStdio(struct Launch* l) {
  l->stdin_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
  if (l->stdin_fd < 0) return -1;
  return pipe2(l->out, O_CLOEXEC) | pipe2(l->err, O_CLOEXEC) | pipe2(l->report, O_CLOEXEC);
}

static int ClonePlain(struct Launch* l, uint64_t namespaces) {
  struct clone_args args;
  memset(&args, 0, sizeof args);
  args.flags = CLONE_PIDFD | namespaces;
  args.pidfd = (uint64_t)(uintptr_t)&l->pidfd;
  args.exit_signal = SIGCHLD;
  for (int i = 0; i < g.hierarchy_count; ++i) {
    if (!g.hierarchies[i].v2) continue;
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)l->group_fd[i];
  }
  return (int)syscall(SYS_clone3, &args, sizeof args);
}

// ---- steps of the child --------------------------------------------------------------------

static int StepCgroupJoin(struct Launch* l) {
  for (int i = 0; i < g.hierarchy_count; ++i) {
    if (l->procs_fd[i] >= 0 && write(l->procs_fd[i], "0", 1) != 1) return -1;
  }
  return 0;
}

static int StepCgroupNamespace(struct Launch* l) {
  (void)l;
  return unshare(CLONE_NEWCGROUP);
}

__attribute__((unused)) static int StepNetJoin(struct Launch* l) {
  return setns(l->net, CLONE_NEWNET);
}

static int StepLoopback(struct Launch* l) {
  (void)l;
  struct ifreq request;
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) return -1;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int result = ioctl(s, SIOCSIFFLAGS, &request);
  close(s);
  return result;
}

static int StepPropagation(struct Launch* l) {
  (void)l;
  return mount(NULL, "/", NULL, kMsRec | kMsPrivate, NULL);
}

static int StepRootMount(struct Launch* l) {
  // The folder the container's root is attached to, in this mount namespace only.
  if (syscall(SYS_move_mount, l->rootfs, "", AT_FDCWD, g.folder, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return -1;
  }
  return fchdir(l->rootfs);
}

static int StepProc(struct Launch* l) {
  (void)l;
  return mount("proc", "proc", "proc", kMsNosuid | kMsNodev | kMsNoexec, NULL);
}

static int StepDev(struct Launch* l) {
  (void)l;
  static const struct {
    const char* path;
    unsigned minor_major[2];
  } kNodes[] = {
      {"dev/null", {1, 3}}, {"dev/zero", {1, 5}},   {"dev/full", {1, 7}},
      {"dev/tty", {5, 0}},  {"dev/random", {1, 8}}, {"dev/urandom", {1, 9}},
  };
  static const char* const kLinks[][2] = {
      {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
      {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
      {"pts/ptmx", "dev/ptmx"},          {"/proc/kcore", "dev/core"},
  };
  if (mount("tmpfs", "dev", "tmpfs", kMsNosuid, "mode=755,size=65536k") != 0) return -1;
  const mode_t mask = umask(0);
  for (size_t i = 0; i < sizeof kNodes / sizeof *kNodes; ++i) {
    if (mknod(kNodes[i].path, S_IFCHR | 0666,
              makedev(kNodes[i].minor_major[0], kNodes[i].minor_major[1])) != 0) {
      return -1;
    }
  }
  umask(mask);
  for (size_t i = 0; i < sizeof kLinks / sizeof *kLinks; ++i) {
    if (symlink(kLinks[i][0], kLinks[i][1]) != 0) return -1;
  }
  return mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755);
}

static int StepDevpts(struct Launch* l) {
  (void)l;
  return mount("devpts", "dev/pts", "devpts", kMsNosuid | kMsNoexec,
               "newinstance,ptmxmode=0666,mode=0620,gid=5");
}

static int StepSysfs(struct Launch* l) {
  (void)l;
  return mount("sysfs", "sys", "sysfs", kMsNosuid | kMsNodev | kMsNoexec | kMsRdonly, NULL);
}

// What the container sees of its cgroups: on v2 the one hierarchy, else a tmpfs with those in use.
static int StepCgroupView(struct Launch* l) {
  enum { kLocked = kMsRdonly | kMsNosuid | kMsNodev | kMsNoexec };
  char path[64];
  (void)l;
  if (g.hierarchies[0].v2 && g.hierarchy_count == 1) {
    return mount("cgroup", "sys/fs/cgroup", "cgroup2", kLocked, NULL);
  }
  if (mount("tmpfs", "sys/fs/cgroup", "tmpfs", kLocked & ~kMsRdonly, "mode=755") != 0) return -1;
  for (int i = 0; i < g.hierarchy_count; ++i) {
    const struct Hierarchy* h = &g.hierarchies[i];
    snprintf(path, sizeof path, "sys/fs/cgroup/%s", h->name);
    if (mkdir(path, 0755) != 0) return -1;
    if (mount("cgroup", path, h->v2 ? "cgroup2" : "cgroup", kLocked, h->v2 ? NULL : h->name) != 0) {
      return -1;
    }
  }
  return mount(NULL, "sys/fs/cgroup", NULL, kMsRemount | kMsBind | kLocked, NULL);
}

static int StepMqueue(struct Launch* l) {
  (void)l;
  return mount("mqueue", "dev/mqueue", "mqueue", kMsNosuid | kMsNodev | kMsNoexec, NULL);
}

static int StepShm(struct Launch* l) {
  (void)l;
  return mount("shm", "dev/shm", "tmpfs", kMsNosuid | kMsNodev | kMsNoexec, "mode=1777,size=64m");
}

static int CloneTree(int folder, const char* name) {
  return (int)syscall(SYS_open_tree, folder, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

// The three files lie on a private tmpfs and are bound over their targets: writing them to the
// overlay's upper folder would cost a millisecond of the disk's file system.
static int StepFiles(struct Launch* l) {
  static const char* const kFiles[][2] = {
      {"hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
      {"hostname", "bench\n"},
      {"resolv.conf", "nameserver 127.0.0.11\n"},
  };
  char target[64];
  (void)l;
  const int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
  if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) return -1;
  const int folder = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  close(fs);
  if (folder < 0) return -1;
  for (size_t i = 0; i < sizeof kFiles / sizeof *kFiles; ++i) {
    const int file = openat(folder, kFiles[i][0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0 || write(file, kFiles[i][1], strlen(kFiles[i][1])) < 0) return -1;
    close(file);
    int tree = CloneTree(folder, kFiles[i][0]);
    // Before Linux 6.15 of an attached tree only. This one goes with the old root.
    if (tree < 0 && errno == EINVAL &&
        syscall(SYS_move_mount, folder, "", AT_FDCWD, g.image, MOVE_MOUNT_F_EMPTY_PATH) == 0) {
      tree = CloneTree(folder, kFiles[i][0]);
    }
    if (tree < 0) return -1;
    snprintf(target, sizeof target, "etc/%s", kFiles[i][0]);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return -1;
    }
    close(tree);
  }
  close(folder);
  return 0;
}

static int StepSysctl(struct Launch* l) {
  (void)l;
  return WriteText("proc/sys/net/ipv4/ip_unprivileged_port_start", "0") |
         WriteText("proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

// Docker's lists.
static int StepMasked(struct Launch* l) {
  static const char* const kPaths[] = {
      "proc/asound",      "proc/acpi",          "proc/interrupts", "proc/kcore",
      "proc/keys",        "proc/latency_stats", "proc/timer_list", "proc/timer_stats",
      "proc/sched_debug", "proc/scsi",          "sys/firmware",    "sys/devices/virtual/powercap",
  };
  const char* empty = NULL;
  (void)l;
  for (size_t i = 0; i < sizeof kPaths / sizeof *kPaths; ++i) {
    if (mount("dev/null", kPaths[i], NULL, kMsBind, NULL) == 0) continue;
    if (errno == ENOENT) continue;
    if (errno != ENOTDIR) return -1;
    // The first empty folder serves all others: each tmpfs costs its making and its end.
    if (empty != NULL ? mount(empty, kPaths[i], NULL, kMsBind, NULL) != 0
                      : mount("tmpfs", kPaths[i], "tmpfs", kMsRdonly, "size=0k,nr_inodes=2") != 0) {
      return -1;
    }
    empty = kPaths[i];
  }
  return 0;
}

static int StepReadOnly(struct Launch* l) {
  static const char* const kPaths[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys",
                                       "proc/sysrq-trigger"};
  (void)l;
  for (size_t i = 0; i < sizeof kPaths / sizeof *kPaths; ++i) {
    if (mount(kPaths[i], kPaths[i], NULL, kMsBind | kMsRec, NULL) != 0) {
      if (errno == ENOENT) continue;
      return -1;
    }
    if (mount(NULL, kPaths[i], NULL,
              kMsRemount | kMsBind | kMsRdonly | kMsNosuid | kMsNodev | kMsNoexec, NULL) != 0) {
      return -1;
    }
  }
  return 0;
}

static int StepPivot(struct Launch* l) {
  (void)l;
  if (syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", kMntDetach) != 0) return -1;
  return chdir("/");
}

static int StepHostname(struct Launch* l) {
  return sethostname(l->name, strlen(l->name));
}

static int StepUser(struct Launch* l) {
  char buffer[4096];
  (void)l;
  static const char* const kPaths[] = {"/etc/passwd", "/etc/group"};
  for (int i = 0; i < 2; ++i) {
    const int fd = open(kPaths[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    while (read(fd, buffer, sizeof buffer) > 0) {
    }
    close(fd);
  }
  return 0;
}

static int StepRlimits(struct Launch* l) {
  (void)l;
  const struct rlimit files = {1024, 4096};
  return setrlimit(RLIMIT_NOFILE, &files);
}

static int StepSession(struct Launch* l) {
  (void)l;
  umask(022);
  return setsid() < 0 ? -1 : 0;
}

static int StepKeyring(struct Launch* l) {
  (void)l;
  // Absent or forbidden inside other containers; then there is none to hide either.
  (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
  return 0;
}

// Docker's default set, without CAP_MKNOD.
static const uint64_t kCapabilities =
    1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FSETID | 1ull << CAP_FOWNER |
    1ull << CAP_NET_RAW | 1ull << CAP_SETGID | 1ull << CAP_SETUID | 1ull << CAP_SETFCAP |
    1ull << CAP_SETPCAP | 1ull << CAP_NET_BIND_SERVICE | 1ull << CAP_SYS_CHROOT | 1ull << CAP_KILL |
    1ull << CAP_AUDIT_WRITE;

static int StepCredentials(struct Launch* l) {
  (void)l;
  for (int cap = 0; cap <= CAP_LAST_CAP; ++cap) {
    if ((kCapabilities >> cap & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL) return -1;
  }
  if (setgroups(0, NULL) != 0) return -1;
  return setresgid(0, 0, 0) | setresuid(0, 0, 0);
}

// As long as the library's default filter, and as many steps to its answer.
static int StepSeccomp(struct Launch* l) {
  enum { kLength = 238, kSteps = 12 };
  static struct sock_filter program[kLength];
  (void)l;
  program[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
  for (unsigned i = 1; i < kSteps; ++i) {
    program[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u + i, 0, 0);
  }
  for (unsigned i = kSteps; i < kLength; ++i) {
    program[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  const struct sock_fprog filter = {kLength, program};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

static int StepCapabilities(struct Launch* l) {
  (void)l;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  for (int i = 0; i < 2; ++i) {
    data[i].effective = data[i].permitted = (uint32_t)(kCapabilities >> (32 * i));
  }
  return (int)syscall(SYS_capset, &header, data) |
         prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int StepDieWithParent(struct Launch* l) {
  (void)l;
  return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

static int StepDescriptors(struct Launch* l) {
  const int wanted[3] = {l->stdin_fd, l->out[1], l->err[1]};
  for (int i = 0; i < 3; ++i) {
    if (dup2(wanted[i], i) != i) return -1;
  }
  return (int)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
}

static int StepWorkdir(struct Launch* l) {
  (void)l;
  return chdir("/");
}

static int StepFindExecutable(struct Launch* l) {
  (void)l;
  return faccessat(AT_FDCWD, g.program, X_OK, AT_EACCESS);
}

static int StepExec(struct Launch* l) {
  (void)l;
  char* const argv[] = {(char*)(uintptr_t)g.program, NULL};
  char* const envp[] = {
      (char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      (char[]){"HOSTNAME=bench"}, (char[]){"HOME=/root"}, NULL};
  return execve(g.program, argv, envp);
}

#define FLOOR_MOUNT_STEPS                                                                         \
  {"Propagation: private", StepPropagation}, {"RootMount: move_mount overlay", StepRootMount},    \
      {"Mount: proc", StepProc}, {"Mount: dev tmpfs, 6 nodes, 6 links, 3 folders", StepDev},      \
      {"Mount: devpts", StepDevpts}, {"Mount: sysfs", StepSysfs},                                 \
      {"Mount: cgroup view", StepCgroupView}, {"Mount: mqueue", StepMqueue},                      \
      {"Mount: shm", StepShm}, {"Files: tmpfs, 3 files, 3 binds", StepFiles},                     \
      {"Sysctl: 2 writes", StepSysctl}, {"MaskedPath: Docker's list", StepMasked},                \
      {"ReadOnlyPath: Docker's list", StepReadOnly}, {"Pivot: pivot_root, umount2", StepPivot}, { \
    "Hostname", StepHostname                                                                      \
  }

#define FLOOR_PROCESS_STEPS                                                      \
  {"User: passwd, group", StepUser}, {"Rlimit", StepRlimits},                    \
      {"Session: setsid, umask", StepSession}, {"Keyring: keyctl", StepKeyring}, \
      {"Workdir: chdir", StepWorkdir}, {"Seccomp: load", StepSeccomp},           \
      {"Credentials: 28 bounding drops, setres*id", StepCredentials},            \
      {"Capabilities: capset, ambient", StepCapabilities},                       \
      {"DieWithParent: PDEATHSIG", StepDieWithParent},                           \
      {"CloseDescriptors: dup2 x 3, close_range", StepDescriptors},              \
      {"FindExecutable: faccessat2", StepFindExecutable}, {                      \
    "Exec: execve", StepExec                                                     \
  }

// Runs the child's table; never returns.
static void RunChild(const struct Step* steps, struct Launch* l) {
  for (int i = 0;; ++i) {
    marks->child[i] = Now();
    if (steps[i].run(l) != 0) {
      const int error = errno;
      dprintf(l->report[1], "step %s: %s", steps[i].name, strerror(error));
      _exit(127);
    }
  }
}

// ---- the parent after the clone ------------------------------------------------------------

static void CloseChildEnds(struct Launch* l) {
  close(l->stdin_fd);
  close(l->out[1]);
  close(l->err[1]);
  close(l->report[1]);
}

// Reads what the program says and waits for its end: the timed part ends with this.
static void AwaitEnd(struct Launch* l) {
  char text[512];
  siginfo_t info;
  const ssize_t n = read(l->report[0], text, sizeof text);
  if (n > 0) {
    fprintf(stderr, "%.*s\n", (int)n, text);
    exit(1);
  }
  while (read(l->out[0], text, sizeof text) > 0) {
  }
  while (read(l->err[0], text, sizeof text) > 0) {
  }
  memset(&info, 0, sizeof info);
  while (waitid((idtype_t)P_PIDFD, (id_t)l->pidfd, &info, WEXITED) != 0 && errno == EINTR) {
  }
  if (info.si_code != CLD_EXITED || info.si_status != 0) {
    fprintf(stderr, "%s: ended with code %d status %d\n", g.program, info.si_code, info.si_status);
    exit(1);
  }
}

static int RemoveEntry(const char* path, const struct stat* s, int kind, struct FTW* at) {
  (void)s, (void)kind, (void)at;
  return remove(path);
}

static void RemoveGroups(struct Launch* l) {
  for (int i = 0; i < g.hierarchy_count; ++i) {
    if (l->procs_fd[i] >= 0) close(l->procs_fd[i]);
    if (l->group_fd[i] >= 0) close(l->group_fd[i]);
    if (l->parent_fd[i] < 0) continue;
    // A task that was just reaped may still be leaving its group.
    for (int tries = 0; tries < 1000; ++tries) {
      if (unlinkat(l->parent_fd[i], l->name, AT_REMOVEDIR) == 0 || errno != EBUSY) break;
      usleep(50);
    }
  }
}

static void CleanUp(struct Launch* l) {
  if (l->held_mount_ns >= 0) close(l->held_mount_ns);
  if (l->rootfs >= 0) close(l->rootfs);
  if (l->net >= 0) close(l->net);
  close(l->out[0]);
  close(l->err[0]);
  close(l->report[0]);
  close(l->pidfd);
  RemoveGroups(l);
  if (l->scratch[0] != 0) (void)nftw(l->scratch, RemoveEntry, 16, FTW_DEPTH | FTW_PHYS);
}

static void InitLaunch(struct Launch* l, int number) {
  memset(l, 0, sizeof *l);
  l->rootfs = l->net = l->held_mount_ns = l->pidfd = -1;
  for (int i = 0; i < kMaxHierarchies; ++i) l->parent_fd[i] = l->group_fd[i] = l->procs_fd[i] = -1;
  snprintf(l->name, sizeof l->name, "b%d-%d", (int)getpid(), number);
}

// ---- set-up of a run ------------------------------------------------------------------------

static int IsFileSystem(const char* path, long type) {
  struct statfs s;
  return statfs(path, &s) == 0 && (long)s.f_type == type;
}

static char own_group[32];
static pid_t owner;

static void AddHierarchy(const char* root, const char* name, int v2) {
  struct Hierarchy* h = &g.hierarchies[g.hierarchy_count++];
  h->name = name;
  h->v2 = v2;
  h->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (h->root_fd < 0 || mkdirat(h->root_fd, own_group, 0755) != 0) Die(root);
  h->group_fd = openat(h->root_fd, own_group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (h->group_fd < 0) Die(root);
}

static void RemoveGroupTree(int parent_fd, const char* name) {
  const int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* folder = fd < 0 ? NULL : fdopendir(fd);
  if (folder == NULL) return;
  for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') RemoveGroupTree(fd, entry->d_name);
  }
  closedir(folder);
  for (int tries = 0; tries < 1000; ++tries) {
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno != EBUSY) break;
    usleep(1000);
  }
}

// At every end, failed ones included: containers die with this process (PDEATHSIG), groups do not.
static void RemoveHierarchies(void) {
  if (getpid() != owner) return;
  for (int i = 0; i < g.hierarchy_count; ++i) RemoveGroupTree(g.hierarchies[i].root_fd, own_group);
}

static void SetUp(void) {
  enum { kCgroup = 0x27e0eb, kCgroup2 = 0x63677270 };
  owner = getpid();
  snprintf(own_group, sizeof own_group, "caisson-floor-%d", (int)owner);
  marks = mmap(NULL, sizeof *marks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (marks == MAP_FAILED) Die("mmap");
  atexit(RemoveHierarchies);
  if (IsFileSystem("/sys/fs/cgroup", kCgroup2)) {
    AddHierarchy("/sys/fs/cgroup", "unified", 1);
    if (with_limits) {
      const struct Hierarchy* h = &g.hierarchies[0];
      static const char kAll[] = "+memory +cpu +cpuset +pids";
      if (WriteAt(h->root_fd, "cgroup.subtree_control", kAll) != 0 ||
          WriteAt(h->group_fd, "cgroup.subtree_control", kAll) != 0) {
        Die("cgroup.subtree_control");
      }
    }
  } else {
    static const char* const kLimited[] = {"memory", "cpu", "cpuset"};
    for (size_t i = 0; with_limits && i < sizeof kLimited / sizeof *kLimited; ++i) {
      char root[64];
      snprintf(root, sizeof root, "/sys/fs/cgroup/%s", kLimited[i]);
      AddHierarchy(root, kLimited[i], 0);
      const int group = g.hierarchies[g.hierarchy_count - 1].group_fd;
      // A new cpuset is empty and takes nobody in; what is made in this one starts from it.
      if (strcmp(kLimited[i], "cpuset") != 0) continue;
      if (WriteAt(group, "cpuset.cpus", "0") != 0 || WriteAt(group, "cpuset.mems", "0") != 0 ||
          WriteAt(group, "cgroup.clone_children", "1") != 0) {
        Die("cpuset");
      }
    }
    if (IsFileSystem("/sys/fs/cgroup/unified", kCgroup2))
      AddHierarchy("/sys/fs/cgroup/unified", "unified", 1);
    if (IsFileSystem("/sys/fs/cgroup/pids", kCgroup))
      AddHierarchy("/sys/fs/cgroup/pids", "pids", 0);
    if (IsFileSystem("/sys/fs/cgroup/freezer", kCgroup))
      AddHierarchy("/sys/fs/cgroup/freezer", "freezer", 0);
  }
  null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  g.own_pid_ns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  if (g.own_pid_ns < 0) Die("/proc/self/ns/pid");
}

static volatile sig_atomic_t stop_asked;
static void OnSignal(int signal) {
  (void)signal;
  stop_asked = 1;
}

// ---- command line and output -----------------------------------------------------------------

static struct {
  int count, warmup, pause_ms, workers, seconds, profile, list, exec;
} options = {.count = 100, .warmup = 5};

static void ReadOptions(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const char* key = argv[i];
    if (strcmp(key, "--list") == 0)
      options.list = 1;
    else if (strcmp(key, "--profile") == 0)
      options.profile = 1;
    else if (strcmp(key, "--exec") == 0)
      options.exec = 1;
    else if (strcmp(key, "--limits") == 0)
      with_limits = 1;
    else if (i + 1 == argc)
      goto bad;
    else if (strcmp(key, "--image") == 0)
      g.image = argv[++i];
    else if (strcmp(key, "--skeleton") == 0)
      g.skeleton = argv[++i];
    else if (strcmp(key, "--folder") == 0)
      g.folder = argv[++i];
    else if (strcmp(key, "--program") == 0)
      g.program = argv[++i];
    else if (strcmp(key, "--count") == 0)
      options.count = atoi(argv[++i]);
    else if (strcmp(key, "--warmup") == 0)
      options.warmup = atoi(argv[++i]);
    else if (strcmp(key, "--pause") == 0)
      options.pause_ms = atoi(argv[++i]);
    else if (strcmp(key, "--workers") == 0)
      options.workers = atoi(argv[++i]);
    else if (strcmp(key, "--seconds") == 0)
      options.seconds = atoi(argv[++i]);
    else
      goto bad;
  }
  if (g.program == NULL) g.program = "/bin/true";
  if (options.list || (g.image != NULL && g.skeleton != NULL && g.folder != NULL)) return;
bad:
  fprintf(stderr,
          "usage: %s --image DIR --skeleton DIR --folder DIR [--program PATH] [--count N] "
          "[--warmup N] [--pause MS]\n"
          "          [--profile] [--exec] [--limits] [--workers N --seconds S] | --list\n",
          argv[0]);
  exit(2);
}

static void PrintSteps(const char* title, const struct Step* steps) {
  printf("%s\n", title);
  for (int i = 0; steps[i].name != NULL; ++i) printf("  %s\n", steps[i].name);
}

// Times of the steps of every launch of a run, in nanoseconds.
enum { kMaxLaunches = 4096 };
static struct {
  uint32_t parent[kMaxSteps][kMaxLaunches], child[kMaxSteps][kMaxLaunches];
  uint32_t to_child[kMaxLaunches], exec_to_end[kMaxLaunches];
  int launches;
} profile;

static void AddUp(const struct Step* before, const struct Step* child, uint64_t clone_end,
                  uint64_t end) {
  uint64_t last = marks->begin;
  int i = 0;
  const int n = profile.launches;
  if (!options.profile || n == kMaxLaunches) return;
  for (; before[i].run != NULL; ++i) {
    profile.parent[i][n] = (uint32_t)(marks->parent[i] - last);
    last = marks->parent[i];
  }
  profile.parent[i][n] = (uint32_t)(clone_end - last);
  profile.to_child[n] = (uint32_t)(marks->child[0] - last);
  for (i = 0; child[i + 1].run != NULL; ++i) {
    profile.child[i][n] = (uint32_t)(marks->child[i + 1] - marks->child[i]);
  }
  profile.exec_to_end[n] = (uint32_t)(end - marks->child[i]);
  ++profile.launches;
}

static int Compare(const void* a, const void* b) {
  const uint32_t x = *(const uint32_t*)a;
  const uint32_t y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

static void PrintTimes(uint32_t* times, const char* name) {
  const size_t n = (size_t)profile.launches;
  if (n == 0) return;
  qsort(times, n, sizeof *times, Compare);
  fprintf(stderr, "%9.1f %9.1f  %s\n", times[n / 2] / 1e3, times[n * 95 / 100] / 1e3, name);
}

static void PrintProfile(const struct Step* before, const struct Step* child) {
  int i = 0;
  fprintf(stderr, "us of each step over %d launches\n      p50       p95\n", profile.launches);
  for (; before[i].run != NULL; ++i) PrintTimes(profile.parent[i], before[i].name);
  PrintTimes(profile.parent[i], "clone3: until it returns to the parent");
  PrintTimes(profile.to_child, "clone3: until the child's first instruction");
  for (i = 0; child[i + 1].run != NULL; ++i) PrintTimes(profile.child[i], child[i].name);
  PrintTimes(profile.exec_to_end, "execve until the end is seen by the parent");
}
