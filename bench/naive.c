// The naive floor: every step of a launch on the path, one launch after the other, nothing kept.
//
// Prints one line a launch: nanoseconds from the first step to the end seen by waitid, and
// nanoseconds of the clean-up that follows. With --workers N --seconds S: N processes at once, and
// one line with the number of launches (clean-up included) and the nanoseconds they took.
// With --exec: the same for a further process in a running container.
#include "floor.h"

static const struct Step kBefore[] = {
    {"ScratchFolder: mkdir x 3", StepScratch},
    {"Overlay: fsopen, fsconfig, fsmount", StepOverlay},
    {"CgroupCreate: mkdir, open", StepCgroup},
    {"CgroupLimit: write, with --limits", StepLimits},
    {"Stdio: 3 pipes", StepStdio},
    {NULL, NULL},
};

static const struct Step kChild[] = {
    {"CgroupJoin: write", StepCgroupJoin},
    {"CgroupNamespace: unshare", StepCgroupNamespace},
    {"Loopback: ioctl", StepLoopback},
    FLOOR_MOUNT_STEPS,
    FLOOR_PROCESS_STEPS,
    {NULL, NULL},
};

static void Start(struct Launch* l) {
  marks->begin = Now();
  WalkSteps(kBefore, l, marks->parent);
  l->pid = ClonePlain(l, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET);
  if (l->pid < 0) Die("clone3");
  if (l->pid == 0) RunChild(kChild, l);
}

static void LaunchOne(int number, uint64_t* start_ns, uint64_t* clean_ns) {
  struct Launch l;
  InitLaunch(&l, number);
  Start(&l);
  const uint64_t cloned = Now();
  CloseChildEnds(&l);
  AwaitEnd(&l);
  const uint64_t end = Now();
  if (number >= options.warmup) AddUp(kBefore, kChild, cloned, end);
  const uint64_t begin = marks->begin;
  CleanUp(&l);
  *start_ns = end - begin;
  *clean_ns = Now() - end;
}

// ---- exec ------------------------------------------------------------------------------------

static struct Launch container;

// A group of the exec's own in one hierarchy (a timeout kills what is in it), the container's in
// the others.
static int StepExecCgroup(struct Launch* l) {
  for (int i = 0; i < g.hierarchy_count; ++i) {
    const int own = i == 0;
    l->parent_fd[i] = own ? container.group_fd[i] : -1;
    if (own && mkdirat(container.group_fd[i], l->name, 0755) != 0) return -1;
    l->group_fd[i] =
        openat(container.group_fd[i], own ? l->name : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (l->group_fd[i] < 0) return -1;
    if (g.hierarchies[i].v2) continue;
    l->procs_fd[i] = openat(l->group_fd[i], "tasks", O_WRONLY | O_CLOEXEC);
    if (l->procs_fd[i] < 0) return -1;
  }
  return 0;
}

static int StepJoinPid(struct Launch* l) {
  (void)l;
  return setns(container.pidfd, CLONE_NEWPID);
}

static int StepJoin(struct Launch* l) {
  (void)l;
  return setns(container.pidfd,
               CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP);
}

static const struct Step kExecBefore[] = {
    {"CgroupCreate: mkdir, open", StepExecCgroup},
    {"Stdio: 3 pipes", StepStdio},
    {"JoinNamespaces: setns pid", StepJoinPid},
    {NULL, NULL},
};

static const struct Step kExecChild[] = {
    {"CgroupJoin: write", StepCgroupJoin},
    {"JoinNamespaces: setns", StepJoin},
    FLOOR_PROCESS_STEPS,
    {NULL, NULL},
};

static void ExecOne(int number, uint64_t* start_ns, uint64_t* clean_ns) {
  struct Launch l;
  InitLaunch(&l, number);
  marks->begin = Now();
  WalkSteps(kExecBefore, &l, marks->parent);
  l.pid = ClonePlain(&l, 0);
  if (l.pid < 0) Die("clone3");
  if (l.pid == 0) RunChild(kExecChild, &l);
  const uint64_t cloned = Now();
  if (setns(g.own_pid_ns, CLONE_NEWPID) != 0) Die("setns");
  CloseChildEnds(&l);
  AwaitEnd(&l);
  const uint64_t end = Now();
  if (number >= options.warmup) AddUp(kExecBefore, kExecChild, cloned, end);
  const uint64_t begin = marks->begin;
  CleanUp(&l);
  *start_ns = end - begin;
  *clean_ns = Now() - end;
}

static void StartContainer(void) {
  const char* program = g.program;
  char text[256];
  InitLaunch(&container, 1000000);
  g.program = "/bin/idle";
  Start(&container);
  CloseChildEnds(&container);
  const ssize_t n = read(container.report[0], text, sizeof text);
  if (n > 0) fprintf(stderr, "%.*s\n", (int)n, text), exit(1);
  g.program = program;
}

static void StopContainer(void) {
  siginfo_t info;
  (void)syscall(SYS_pidfd_send_signal, container.pidfd, SIGKILL, NULL, 0);
  while (waitid((idtype_t)P_PIDFD, (id_t)container.pidfd, &info, WEXITED) != 0 && errno == EINTR) {
  }
  CleanUp(&container);
}

// ---- many at once ----------------------------------------------------------------------------

static void Work(uint64_t until, uint64_t* done) {
  uint64_t start_ns = 0;
  uint64_t clean_ns = 0;
  // Each worker has marks of its own: it must not write where the others do.
  marks = mmap(NULL, sizeof *marks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (marks == MAP_FAILED) Die("mmap");
  for (int i = 0; Now() < until && !stop_asked; ++i) {
    LaunchOne(i, &start_ns, &clean_ns);
    ++*done;
  }
}

static int RunWorkers(void) {
  uint64_t* done = mmap(NULL, sizeof(uint64_t) * (size_t)options.workers, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (done == MAP_FAILED) Die("mmap");
  const uint64_t begin = Now();
  const uint64_t until = begin + (uint64_t)options.seconds * 1000000000u;
  int failed = 0;
  uint64_t total = 0;
  fflush(stdout);
  for (int i = 0; i < options.workers; ++i) {
    const pid_t pid = fork();
    if (pid < 0) Die("fork");
    if (pid == 0) {
      Work(until, &done[i]);
      _exit(0);
    }
  }
  for (int i = 0; i < options.workers; ++i) {
    int status = 0;
    while (wait(&status) < 0 && errno == EINTR) {
    }
    failed |= status;
  }
  const uint64_t end = Now();
  for (int i = 0; i < options.workers; ++i) total += done[i];
  printf("%llu %llu\n", (unsigned long long)total, (unsigned long long)(end - begin));
  return failed != 0;
}

int main(int argc, char** argv) {
  ReadOptions(argc, argv);
  if (options.list) {
    PrintSteps("before the clone", kBefore);
    PrintSteps("clone3: new mount, pid, uts, ipc and net namespace; CLONE_INTO_CGROUP on v2\nchild",
               kChild);
    PrintSteps("exec, before the clone", kExecBefore);
    PrintSteps("exec, child", kExecChild);
    return 0;
  }
  (void)signal(SIGINT, OnSignal);
  (void)signal(SIGTERM, OnSignal);
  SetUp();
  if (options.workers > 0) return RunWorkers();
  if (options.exec) StartContainer();
  for (int i = 0; i < options.warmup + options.count && !stop_asked; ++i) {
    uint64_t start_ns = 0;
    uint64_t clean_ns = 0;
    if (options.pause_ms > 0) usleep((useconds_t)options.pause_ms * 1000);
    (options.exec ? ExecOne : LaunchOne)(i, &start_ns, &clean_ns);
    if (i < options.warmup) continue;
    printf("%llu %llu\n", (unsigned long long)start_ns, (unsigned long long)clean_ns);
  }
  if (options.exec) StopContainer();
  if (options.profile) {
    if (options.exec)
      PrintProfile(kExecBefore, kExecChild);
    else
      PrintProfile(kBefore, kChild);
  }
  return 0;
}
