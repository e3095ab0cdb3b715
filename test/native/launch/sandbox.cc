// zone: test
#include "sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "check.h"
#include "sys/device_nodes.h"
#include "sys/mount.h"

namespace caisson::test {
namespace {

using protocol::MountKind;
using protocol::StdioKind;
using protocol::Tag;

constexpr const char* kPlace = "/tmp";

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.flush();
  CHECK(file.good());
}

void Shell(const std::string& command) { CHECK_EQ(system(command.c_str()), 0); }

void EnterUserNamespace() {
  const uid_t uid = getuid();
  const gid_t gid = getgid();
  CHECK_OK(unshare(CLONE_NEWUSER));
  WriteText("/proc/self/setgroups", "deny");
  WriteText("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  WriteText("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

FieldWriter Mount(MountKind kind, const char* target, uint64_t attr = 0) {
  FieldWriter mount;
  mount.U64(Tag::kMountKind, static_cast<uint64_t>(kind)).String(Tag::kMountTarget, target);
  if (attr != 0) mount.U64(Tag::kMountAttr, attr);
  return mount;
}

}  // namespace

Sandbox::Sandbox(bool rootless) {
  if (rootless) EnterUserNamespace();
  CHECK_OK(unshare(CLONE_NEWNS));
  CHECK_OK(sys::Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  CHECK_OK(sys::Mount("tmpfs", kPlace, "tmpfs", 0, "mode=0755"));
  const std::string place = kPlace;
  Shell("cd " + place + " && mkdir -p store/scratch staging store/layers/base && cd store/layers/base && mkdir "
        "bin etc tmp root home dev proc sys");
  const std::string base = place + "/store/layers/base";
  Shell("cp /bin/busybox " + base + "/bin/busybox && for a in sh true cat id ls sleep echo env pwd "
        "stat touch mount hostname kill test readlink; do ln " + base + "/bin/busybox " + base +
        "/bin/$a; done && chmod 1777 " + base + "/tmp");
  WriteText(base + "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n");
  WriteText(base + "/etc/group", "root:x:0:\nalice:x:1000:\nwheel:x:10:root,alice\n");

  host.store.reset(open((place + "/store").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  host.proc.reset(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  host.rootless = rootless;
  host.staging = place + "/staging";
  CHECK(host.store.valid() && host.proc.valid());
}

std::string Sandbox::LayerPath(const std::string& path) const {
  return std::string(kPlace) + "/store/layers/base" + path;
}

int Sandbox::NewScratch() {
  const std::string path =
      std::string(kPlace) + "/store/scratch/" + std::to_string(scratches_++);
  CHECK_OK(mkdir(path.c_str(), 0700));
  last_scratch_.reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(last_scratch_.valid());
  CHECK(launch::MakeScratch(last_scratch_.get()).has_value());
  return last_scratch_.get();
}

FieldWriter Sandbox::Body(const std::vector<std::string>& argv) const {
  FieldWriter body;
  body.String(Tag::kLayer, "layers/base");
  body.String(Tag::kHostname, "boxed");
  constexpr uint64_t kSafe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  body.Group(Tag::kMount, Mount(MountKind::kProc, "/proc", kSafe));
  body.Group(Tag::kMount, Mount(MountKind::kDev, "/dev", MOUNT_ATTR_NOSUID));
  body.Group(Tag::kMount, Mount(MountKind::kDevpts, "/dev/pts",
                                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  body.Group(Tag::kMount, Mount(MountKind::kSysfs, "/sys", kSafe | MOUNT_ATTR_RDONLY));
  body.Group(Tag::kMount, Mount(MountKind::kTmpfs, "/dev/shm", kSafe));
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

FieldWriter Sandbox::ExecBody(const std::vector<std::string>& argv) const {
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

Outcome Sandbox::Finish(Result<launch::Started> started, int out, int err,
                        const std::function<void(const launch::Started&)>& while_running) {
  Outcome outcome;
  if (!started) {
    outcome.failure = started.error();
    return outcome;
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

Outcome Sandbox::Launch(const FieldWriter& body, const launch::Cgroup& cgroup,
                        const std::function<void(const launch::Started&)>& while_running) {
  Arena arena(ParseArenaBytes(body.bytes().size()));
  const auto plan = ParseLaunch(body.bytes(), arena);
  if (!plan) return {.failure = plan.error(), .out = {}, .err = {}};
  launch::Prepared prepared;
  prepared.folder.reset(fcntl(NewScratch(), F_DUPFD_CLOEXEC, 3));
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
  auto started = launch::Launch(host, **plan, prepared, cgroup, stdio, launch::Parent::kCaller,
                                &log);
  if (!started && !log.empty()) fprintf(stderr, "kernel: %s\n", log.c_str());
  out_write.reset();
  err_write.reset();
  return Finish(std::move(started), out[0], err[0], while_running);
}

Outcome Sandbox::Join(const FieldWriter& body, int init_pidfd, const launch::Cgroup* cgroup,
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
  auto started = launch::Join(host, **plan, init_pidfd, cgroup, stdio, launch::Parent::kCaller);
  out_write.reset();
  err_write.reset();
  return Finish(std::move(started), out[0], err[0], while_running);
}

int CountDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  CHECK(folder != nullptr);
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

int CountMounts() {
  std::ifstream mounts("/proc/self/mountinfo");
  std::string line;
  int count = 0;
  while (std::getline(mounts, line)) ++count;
  return count;
}

}  // namespace caisson::test
