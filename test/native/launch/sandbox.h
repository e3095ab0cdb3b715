// zone: test
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/fields.h"
#include "launch/check.h"
#include "launch/launch.h"
#include "plan/parse.h"
#include "sys/mount.h"

// A place to launch in: own mount namespace, a store on a tmpfs with a busybox layer, and what a
// hand would know. Everything goes with the program.
namespace caisson::test {

using protocol::MountKind;
using protocol::StdioKind;
using protocol::Tag;

constexpr const char* kPlace = "/tmp";

// On a disk, for a store where a tmpfs does not do. InBothModes makes and removes it.
inline std::string disk_folder;

inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.flush();
  CHECK(file.good());
}

inline void Shell(const std::string& command) {
  CHECK_EQ(system(command.c_str()), 0);
}

inline std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

inline FieldWriter Mount(MountKind kind, const char* target, uint64_t attr = 0) {
  FieldWriter mount;
  mount.U64(Tag::kMountKind, static_cast<uint64_t>(kind)).String(Tag::kMountTarget, target);
  if (attr != 0) mount.U64(Tag::kMountAttr, attr);
  return mount;
}

struct Outcome {
  std::optional<Failure> failure;  // of Launch or Join, or reported by the child
  int code = -1;                   // exit code, or -1
  int signal = 0;                  // that ended it, or 0
  std::string out;
  std::string err;
};

inline std::string Describe(const Failure& failure) {
  static constexpr const char* kNames[] = {
#define CAISSON_NAME(name, what) #name,
      CAISSON_STEPS(CAISSON_NAME)
#undef CAISSON_NAME
  };
  return std::string(kNames[static_cast<int>(failure.step)]) + " " +
         strerrorname_np(failure.error) + " " + std::to_string(failure.index);
}

class Sandbox {
 public:
  // Enters the namespaces; once per program.
  explicit Sandbox(bool rootless);

  launch::Host host;
  // What the next launches are given.
  enum class Ready { kNothing, kKit, kNamespace } ready = Ready::kNothing;
  bool gated = false;     // what Prepared::gated of the next launches is
  bool open_gate = true;  // or close it

  // Runs `script` in sh and returns what it printed; any failure fails the test.
  std::string Print(const std::string& script, const std::function<void(FieldWriter&)>& more = {});

  [[nodiscard]] UniqueFd NewScratch();  // a folder of the store with upper/ and work/
  [[nodiscard]] std::string LayerPath(const std::string& path) const;  // on this side

  // The fields of a launch of `argv` in the busybox layer with proc, sys, dev and pts.
  [[nodiscard]] FieldWriter Body(const std::vector<std::string>& argv) const;
  [[nodiscard]] FieldWriter ExecBody(const std::vector<std::string>& argv) const;

  // Launches and waits for the end. `while_running` is called with the pidfd once exec has
  // happened.
  Outcome Launch(const FieldWriter& body, const launch::Cgroup& cgroup = {},
                 const std::function<void(const launch::Started&)>& while_running = {});
  Outcome LaunchBytes(Bytes body, const launch::Cgroup& cgroup = {},
                      const std::function<void(const launch::Started&)>& while_running = {});
  Outcome Join(const FieldWriter& body, int init_pidfd, const launch::Cgroup* cgroup = nullptr,
               const std::function<void(const launch::Started&)>& while_running = {});

 private:
  Outcome Finish(Result<launch::Started> started, int out, int err,
                 const std::function<void(const launch::Started&)>& while_running);

  int scratches_ = 0;
};

inline Sandbox::Sandbox(bool rootless) {
  CHECK_OK(unshare(CLONE_NEWNS));
  CHECK_OK(sys::Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  CHECK_OK(sys::Mount("proc", "/proc", "proc", 0, nullptr));
  const std::string place = kPlace;
  const UniqueFd disk(sys::OpenTree(AT_FDCWD, disk_folder.c_str(),
                                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  CHECK(disk.valid());
  CHECK_OK(sys::Mount("tmpfs", kPlace, "tmpfs", 0, "mode=0755"));
  CHECK_OK(mkdir((place + "/store").c_str(), 0755));
  // An overlay without privileges keeps its marks in user xattrs, which tmpfs has from 6.6 on.
  if (setxattr((place + "/store").c_str(), "user.caisson", "", 0, 0) != 0) {
    CHECK_OK(sys::MoveMountToPath(disk.get(), (place + "/store").c_str()));
  }
  Shell("cd " + place +
        " && mkdir -p store/scratch staging store/layers/base && "
        "cd store/layers/base && mkdir bin etc tmp root home dev proc sys");
  const std::string base = place + "/store/layers/base";
  Shell("cp /bin/busybox " + base + "/bin/busybox && chmod 1777 " + base + "/tmp");
  for (const char* applet :
       {"cat",      "chmod",    "cut",    "echo", "env",   "false", "grep",  "head",
        "hostname", "id",       "kill",   "ls",   "mkdir", "mount", "pgrep", "ps",
        "pwd",      "readlink", "setsid", "sh",   "sleep", "sort",  "stat",  "test",
        "touch",    "tr",       "true",   "uniq", "wc",    "["}) {
    CHECK_OK(link((base + "/bin/busybox").c_str(), (base + "/bin/" + applet).c_str()));
  }
  WriteText(base + "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n");
  WriteText(base + "/etc/group", "root:x:0:\nalice:x:1000:\nwheel:x:10:root,alice\n");

  host.store.reset(open((place + "/store").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  host.proc.reset(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  host.rootless = rootless;
  host.one_group = rootless;
  host.staging = place + "/staging";
  CHECK(host.store.valid() && host.proc.valid());
}

inline std::string Sandbox::LayerPath(const std::string& path) const {
  return std::string(kPlace) + "/store/layers/base" + path;
}

inline UniqueFd Sandbox::NewScratch() {
  const std::string path = std::string(kPlace) + "/store/scratch/" + std::to_string(scratches_++);
  CHECK_OK(mkdir(path.c_str(), 0700));
  UniqueFd scratch(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(scratch.valid());
  CHECK(launch::MakeScratch(scratch.get()).has_value());
  return scratch;
}

inline FieldWriter Sandbox::Body(const std::vector<std::string>& argv) const {
  FieldWriter body;
  body.String(Tag::kLayer, "layers/base");
  body.String(Tag::kHostname, "boxed");
  constexpr uint64_t kSafe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  body.Group(Tag::kMount, Mount(MountKind::kProc, "/proc", kSafe));
  body.Group(Tag::kMount, Mount(MountKind::kDev, "/dev", MOUNT_ATTR_NOSUID));
  body.Group(Tag::kMount,
             Mount(MountKind::kDevpts, "/dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  body.Group(Tag::kMount, Mount(MountKind::kSysfs, "/sys", kSafe | MOUNT_ATTR_RDONLY));
  body.Group(Tag::kMount, Mount(MountKind::kShm, "/dev/shm", kSafe));
  body.Group(Tag::kMount, Mount(MountKind::kMqueue, "/dev/mqueue", kSafe));
  for (const auto& arg : argv) body.String(Tag::kArg, arg);
  body.String(Tag::kEnv, "PATH=/usr/bin:/bin");
  for (const Tag tag : {Tag::kCapBounding, Tag::kCapEffective, Tag::kCapPermitted}) {
    body.U64(tag, 0xa80425fb);
  }
  body.U64(Tag::kStdout, static_cast<uint64_t>(StdioKind::kDescriptor));
  body.U64(Tag::kStderr, static_cast<uint64_t>(StdioKind::kDescriptor));
  body.U64(Tag::kSetHome, 1);
  return body;
}

inline FieldWriter Sandbox::ExecBody(const std::vector<std::string>& argv) const {
  FieldWriter body;
  body.U64(Tag::kContainer, 1);
  for (const auto& arg : argv) body.String(Tag::kArg, arg);
  body.String(Tag::kEnv, "PATH=/usr/bin:/bin");
  for (const Tag tag : {Tag::kCapBounding, Tag::kCapEffective, Tag::kCapPermitted}) {
    body.U64(tag, 0xa80425fb);
  }
  body.U64(Tag::kStdout, static_cast<uint64_t>(StdioKind::kDescriptor));
  body.U64(Tag::kStderr, static_cast<uint64_t>(StdioKind::kDescriptor));
  return body;
}

inline Outcome Sandbox::Finish(Result<launch::Started> started, int out, int err,
                               const std::function<void(const launch::Started&)>& while_running) {
  Outcome outcome;
  if (!started) {
    outcome.failure = started.error();
    return outcome;
  }
  if (gated && !open_gate) {
    started->gate.reset();
  } else if (gated) {
    usleep(20'000);
    pollfd report = {.fd = started->report.get(), .events = POLLIN, .revents = 0};
    CHECK_EQ(poll(&report, 1, 0), 0);  // it waits
    CHECK_EQ(write(started->gate.get(), "", 1), 1);
  }
  Failure failure;
  const ssize_t got = read(started->report.get(), &failure, sizeof failure);
  if (got == sizeof failure) {
    outcome.failure = failure;
  } else {
    CHECK_EQ(got, 0);
    if (while_running) while_running(*started);
  }
  outcome.out = ReadAll(out);
  outcome.err = ReadAll(err);
  siginfo_t info = {};
  CHECK_OK(waitid(static_cast<idtype_t>(3), static_cast<id_t>(started->pidfd.get()), &info,
                  WEXITED | __WALL));
  if (info.si_code == CLD_EXITED) {
    outcome.code = info.si_status;
  } else {
    outcome.signal = info.si_status;
  }
  return outcome;
}

inline Outcome Sandbox::Launch(const FieldWriter& body, const launch::Cgroup& cgroup,
                               const std::function<void(const launch::Started&)>& while_running) {
  return LaunchBytes(body.bytes(), cgroup, while_running);
}

inline Outcome Sandbox::LaunchBytes(
    Bytes body, const launch::Cgroup& cgroup,
    const std::function<void(const launch::Started&)>& while_running) {
  Arena arena(ParseArenaBytes(body.size()));
  const auto plan = ParseLaunch(body, arena);
  if (!plan) return {.failure = plan.error(), .out = {}, .err = {}};
  launch::Prepared prepared;
  prepared.folder = NewScratch();
  prepared.gated = gated;
  if (ready != Ready::kNothing) {
    auto kit = launch::MakeKit(host);
    if (!kit) CHECK_EQ(Describe(kit.error()), "");
    for (const UniqueFd& part : kit->parts) CHECK(part.valid());
    prepared.kit = std::move(*kit);
  }
  if (ready == Ready::kNamespace) {
    auto rootfs = launch::MakeOverlay(host, (*plan)->layers, prepared.folder.get(),
                                      launch::Upper::kKept, nullptr, nullptr, nullptr);
    if (rootfs) {
      const UniqueFd mount = launch::CloneDetached(rootfs->get());
      CHECK(mount.valid());
      auto made = launch::MakeMountNamespace(host, mount.get());
      if (!made) CHECK_EQ(Describe(made.error()), "");
      prepared.mount_namespace = std::move(*made);
    }
  }
  int out[2];
  int err[2];
  CHECK_OK(pipe2(out, O_CLOEXEC));
  CHECK_OK(pipe2(err, O_CLOEXEC));
  const UniqueFd out_read(out[0]);
  const UniqueFd err_read(err[0]);
  UniqueFd out_write(out[1]);
  UniqueFd err_write(err[1]);
  const int stdio[3] = {-1, out[1], err[1]};
  std::string log;
  auto started =
      launch::Launch(host, **plan, prepared, cgroup, stdio, launch::Parent::kCaller, &log);
  if (!started && !log.empty()) fprintf(stderr, "kernel: %s\n", log.c_str());
  out_write.reset();
  err_write.reset();
  return Finish(std::move(started), out[0], err[0], while_running);
}

inline Outcome Sandbox::Join(const FieldWriter& body, int init_pidfd, const launch::Cgroup* cgroup,
                             const std::function<void(const launch::Started&)>& while_running) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseExec(body.bytes(), arena);
  if (!plan) return {.failure = plan.error(), .out = {}, .err = {}};
  int out[2];
  int err[2];
  CHECK_OK(pipe2(out, O_CLOEXEC));
  CHECK_OK(pipe2(err, O_CLOEXEC));
  const UniqueFd out_read(out[0]);
  const UniqueFd err_read(err[0]);
  UniqueFd out_write(out[1]);
  UniqueFd err_write(err[1]);
  const int stdio[3] = {-1, out[1], err[1]};
  auto started = launch::Join(host, **plan, init_pidfd, launch::kJoinedNamespaces, cgroup, stdio,
                              launch::Parent::kCaller);
  out_write.reset();
  err_write.reset();
  return Finish(std::move(started), out[0], err[0], while_running);
}

inline std::string Sandbox::Print(const std::string& script,
                                  const std::function<void(FieldWriter&)>& more) {
  FieldWriter body = Body({"sh", "-c", script});
  if (more) more(body);
  const Outcome outcome = Launch(body);
  if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
  CHECK_EQ(outcome.err, "");
  CHECK_EQ(outcome.code, 0);
  return outcome.out;
}

// Linux 6.15.
inline bool CanCloneDetached() {
  const UniqueFd context(sys::FsOpen("tmpfs"));
  CHECK_OK(sys::FsCreate(context.get()));
  const UniqueFd mount(sys::FsMount(context.get(), 0));
  return launch::CloneDetached(mount.get()).valid();
}

inline int CountDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  CHECK(folder != nullptr);
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

inline int CountMounts() {
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  int count = 0;
  while (std::getline(mounts, line)) ++count;
  return count;
}

constexpr int kSkipped = 77;
constexpr uid_t kOrdinary = 12345;

// Runs `tests` as root and as an ordinary user in a user namespace, each in a process of its own.
// For main() to return.
inline int InBothModes(void (*tests)(Sandbox&)) {
  if (access("/bin/busybox", X_OK) != 0) {
    printf("needs a static /bin/busybox (Debian: busybox-static)\n");
    return kSkipped;
  }
  const bool root = getuid() == 0;
  for (const bool rootless : {false, true}) {
    if (!rootless && !root) continue;
    fflush(stdout);
    const char* temporary = getenv("TMPDIR");
    disk_folder = std::string(temporary != nullptr ? temporary : "/tmp") + "/caisson-XXXXXX";
    CHECK(mkdtemp(disk_folder.data()) != nullptr);
    if (rootless && root) CHECK_OK(chown(disk_folder.c_str(), kOrdinary, kOrdinary));
    const pid_t pid = fork();
    CHECK_OK(pid);
    if (pid == 0) {
      if (rootless && root) {
        CHECK_OK(setgroups(0, nullptr));
        CHECK_OK(setresgid(kOrdinary, kOrdinary, kOrdinary));
        CHECK_OK(setresuid(kOrdinary, kOrdinary, kOrdinary));
        CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
      }
      // In the new namespace, without a map yet, everybody is the overflow id.
      const std::string uid_map = "0 " + std::to_string(getuid()) + " 1";
      const std::string gid_map = "0 " + std::to_string(getgid()) + " 1";
      if (rootless && unshare(CLONE_NEWUSER) != 0) {
        printf("needs user namespaces: %s\n", strerror(errno));
        exit(kSkipped);
      }
      if (rootless) {
        WriteText("/proc/self/setgroups", "deny");
        WriteText("/proc/self/uid_map", uid_map);
        WriteText("/proc/self/gid_map", gid_map);
      }
      // Neither is to reach a container.
      CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
      CHECK(signal(SIGHUP, [](int) {}) != SIG_ERR);
      printf("-- %s\n", rootless ? "rootless" : "root");
      fflush(stdout);
      // As the supervisor: in a pid namespace of one's own, which one may come back to.
      CHECK_OK(unshare(CLONE_NEWPID));
      const pid_t inner = fork();
      CHECK_OK(inner);
      if (inner != 0) {
        int status = 0;
        CHECK_OK(waitpid(inner, &status, 0));
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
      }
      Sandbox sandbox(rootless);
      const int descriptors = CountDescriptors();
      const int mounts = CountMounts();
      tests(sandbox);
      CHECK_EQ(CountDescriptors(), descriptors);
      CHECK_EQ(CountMounts(), mounts);
      CHECK_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1);
      exit(0);
    }
    int status = 0;
    CHECK_OK(waitpid(pid, &status, 0));
    Shell("chmod -R u+rwx " + disk_folder + " && rm -rf " + disk_folder);
    if (!WIFEXITED(status)) return 1;
    if (WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  }
  return 0;
}

}  // namespace caisson::test
