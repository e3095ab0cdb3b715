// The prepared floor: what does not depend on the call is made before the timed part: the network
// namespace with lo up, the cgroups, the overlay as a detached mount, and a mount namespace of few
// mounts to clone from. The container's mount namespace is held by a descriptor past the exit, so
// that the kernel takes it apart after the answer.
//
// Prints what naive.c prints; the second number of a line is preparing and cleaning up.
#include "floor.h"

static int proc_fd;
static int own_net;

static int StepPrepareNet(struct Launch* l) {
  if (unshare(CLONE_NEWNET) != 0 || StepLoopback(l) != 0) return -1;
  l->net = openat(proc_fd, "self/ns/net", O_RDONLY | O_CLOEXEC);
  if (l->net < 0) return -1;
  return setns(own_net, CLONE_NEWNET);
}

static const struct Step kPrepare[] = {
    {"ScratchFolder: mkdir x 3", StepScratch},
    {"Overlay: fsopen, fsconfig, fsmount", StepOverlay},
    {"CgroupCreate: mkdir, open", StepCgroup},
    {"NetNamespace: unshare, lo up", StepPrepareNet},
    {NULL, NULL},
};

static const struct Step kBefore[] = {
    // What the limits are the call says; the groups they are written to are there.
    {"CgroupLimit: write, with --limits", StepLimits},
    {"Stdio: 3 pipes", StepStdio},
    {NULL, NULL},
};

static const struct Step kChild[] = {
    {"CgroupJoin: write", StepCgroupJoin},
    {"CgroupNamespace: unshare", StepCgroupNamespace},
    {"NetJoin: setns", StepNetJoin},
    FLOOR_MOUNT_STEPS,
    FLOOR_PROCESS_STEPS,
    {NULL, NULL},
};

static void HoldMountNamespace(struct Launch* l) {
  // From Linux 6.11; the other way when that is the floor no longer needs to be here.
  l->held_mount_ns = ioctl(l->pidfd, PIDFD_GET_MNT_NAMESPACE, 0);
  if (l->held_mount_ns >= 0) return;
  char path[48];
  snprintf(path, sizeof path, "%d/ns/mnt", (int)l->pid);
  l->held_mount_ns = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
}

static void LaunchOne(int number, uint64_t* start_ns, uint64_t* around_ns) {
  struct Launch l;
  uint64_t unused[kMaxSteps];
  InitLaunch(&l, number);
  const uint64_t first = Now();
  WalkSteps(kPrepare, &l, unused);

  marks->begin = Now();
  WalkSteps(kBefore, &l, marks->parent);
  l.pid = ClonePlain(&l, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC);
  if (l.pid < 0) Die("clone3");
  if (l.pid == 0) RunChild(kChild, &l);
  const uint64_t cloned = Now();
  HoldMountNamespace(&l);
  CloseChildEnds(&l);
  AwaitEnd(&l);
  const uint64_t end = Now();

  const uint64_t begin = marks->begin;
  if (number >= options.warmup) AddUp(kBefore, kChild, cloned, end);
  CleanUp(&l);
  *start_ns = end - begin;
  *around_ns = begin - first + (Now() - end);
}

// Every mount of the caller's namespace is copied in each start: leave behind what no start needs.
static void MakeSlimMountNamespace(void) {
  static const char* const kUnneeded[] = {"/sys/fs/cgroup", "/sys", "/dev", "/proc", "/run"};
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, kMsRec | kMsPrivate, NULL) != 0)
    Die("unshare");
  for (size_t i = 0; i < sizeof kUnneeded / sizeof *kUnneeded; ++i) {
    // Where the store lies below, it is needed.
    if (strncmp(g.folder, kUnneeded[i], strlen(kUnneeded[i])) == 0) continue;
    (void)umount2(kUnneeded[i], kMntDetach);
  }
}

int main(int argc, char** argv) {
  ReadOptions(argc, argv);
  if (options.list) {
    PrintSteps("prepared", kPrepare);
    PrintSteps("before the clone", kBefore);
    PrintSteps("clone3: new mount, pid, uts and ipc namespace; CLONE_INTO_CGROUP on v2\nchild",
               kChild);
    return 0;
  }
  (void)signal(SIGINT, OnSignal);
  (void)signal(SIGTERM, OnSignal);
  SetUp();
  proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  own_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (proc_fd < 0 || own_net < 0) Die("/proc");
  MakeSlimMountNamespace();
  for (int i = 0; i < options.warmup + options.count && !stop_asked; ++i) {
    uint64_t start_ns = 0;
    uint64_t around_ns = 0;
    if (options.pause_ms > 0) usleep((useconds_t)options.pause_ms * 1000);
    LaunchOne(i, &start_ns, &around_ns);
    if (i < options.warmup) continue;
    printf("%llu %llu\n", (unsigned long long)start_ns, (unsigned long long)around_ns);
  }
  if (options.profile) PrintProfile(kBefore, kChild);
  return 0;
}
