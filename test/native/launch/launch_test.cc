// zone: test
// Needs: a static busybox; root or user namespaces. What a container finds itself in.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/resource.h>

#include <vector>

#include "launch/sandbox.h"

namespace caisson::test {
namespace {

Sandbox* box;

constexpr uint64_t kNoDevices = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

std::string FailureOf(const FieldWriter& body) {
  const Outcome outcome = box->Launch(body);
  return outcome.failure ? Describe(*outcome.failure) : "none";
}

void RunsInItsOwnNamespaces() {
  CHECK_EQ(box->Print("echo $$; hostname; id -u; echo $HOME; pwd; ls /sys/class/net"),
           "1\nboxed\n0\n/root\n/\nlo\n");
  CHECK_EQ(
      box->Print("cat /sys/class/net/lo/operstate; cat /proc/self/cgroup | grep -v ':/$'; true"),
      "unknown\n");
}

void GivesDevices() {
  CHECK_EQ(
      box->Print("cd /dev; for d in null zero full random urandom tty; do stat -c '%F %t %T %a' "
                 "$d; done | uniq -f3; readlink fd; readlink stdout; readlink ptmx; "
                 "echo x > null; head -c 3 zero | wc -c"),
      "character special file 1 3 666\ncharacter special file 1 5 666\n"
      "character special file 1 7 666\ncharacter special file 1 8 666\n"
      "character special file 1 9 666\ncharacter special file 5 0 666\n"
      "/proc/self/fd\n/proc/self/fd/1\npts/ptmx\n3\n");
  CHECK_EQ(box->Print("stat -f -c %T /dev/pts /dev/mqueue /dev/shm /proc /sys 2>&1; "
                      "echo hello > /dev/stdout; ls /dev | tr '\\n' ' '"),
           "devpts\nUNKNOWN\ntmpfs\nproc\nsysfs\nhello\n"
           "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
}

void LeavesNothingOfTheHost() {
  // The listing itself holds 3.
  CHECK_EQ(box->Print("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
  CHECK_EQ(box->Print("readlink /proc/self/fd/0; readlink /proc/1/cwd; readlink /proc/1/root"),
           "/dev/null\n/\n/\n");
  CHECK_EQ(box->Print("cut -d' ' -f5 /proc/self/mountinfo | sort | tr '\\n' ' '"),
           box->host.rootless
               ? "/ /dev /dev/full /dev/mqueue /dev/null /dev/pts /dev/random /dev/shm /dev/tty "
                 "/dev/urandom /dev/zero /proc /sys "
               : "/ /dev /dev/mqueue /dev/pts /dev/shm /proc /sys ");
  CHECK_EQ(box->Print("grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status | tr -d '\\n\\t'"),
           "SigBlk:0000000000000000SigIgn:0000000000000000SigCgt:0000000000000000");
}

void DropsPrivileges() {
  CHECK_EQ(box->Print("grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNew' /proc/self/status | tr -d '\\t'",
                      [](FieldWriter& body) { body.U64(Tag::kNoNewPrivileges, 1); }),
           "CapInh:0000000000000000\nCapPrm:00000000a80425fb\nCapEff:00000000a80425fb\n"
           "CapBnd:00000000a80425fb\nCapAmb:0000000000000000\nNoNewPrivs:1\n");
  if (box->host.rootless) {
    auto body = box->Body({"id"});
    body.String(Tag::kUser, "alice");
    CHECK_EQ(FailureOf(body), "Credentials EINVAL 0");
    return;
  }
  CHECK_EQ(box->Print(
               "id; echo $HOME; grep -E 'Cap(Prm|Eff|Bnd)|Groups' /proc/self/status | tr -d '\\t'; "
               "echo through > /dev/stdout",
               [](FieldWriter& body) { body.String(Tag::kUser, "alice"); }),
           "uid=1000(alice) gid=1000(alice) groups=10(wheel),1000(alice)\n/home/alice\n"
           "Groups:10 1000 \nCapPrm:0000000000000000\nCapEff:0000000000000000\n"
           "CapBnd:00000000a80425fb\nthrough\n");
}

void SetsWhatTheProcessIsTold() {
  CHECK_EQ(box->Print("ulimit -n; ulimit -Hn; umask; pwd; cat /proc/self/oom_score_adj",
                      [](FieldWriter& body) {
                        FieldWriter limit;
                        limit.U64(Tag::kRlimitKind, RLIMIT_NOFILE)
                            .U64(Tag::kRlimitSoft, 100)
                            .U64(Tag::kRlimitHard, 200);
                        body.Group(Tag::kRlimit, limit);
                        body.U64(Tag::kUmask, 027);
                        body.String(Tag::kCwd, "/not/yet/there");
                        body.U64(Tag::kOomScoreAdj, 500);
                      }),
           "100\n200\n0027\n/not/yet/there\n500\n");
  CHECK_EQ(box->Print("stat -c '%a %u' . ..",
                      [](FieldWriter& body) { body.String(Tag::kCwd, "/not/there"); }),
           "755 0\n755 0\n");
  CHECK_EQ(
      box->Print(
          "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
          [](FieldWriter& body) {
            FieldWriter pair;
            pair.String(Tag::kKey, "net.ipv4.ip_unprivileged_port_start").String(Tag::kValue, "0");
            body.Group(Tag::kSysctl, pair);
          }),
      "0\n");
}

void PlacesFiles() {
  Shell("ln -sf ../run/systemd/resolv.conf " + box->LayerPath("/etc/resolv.conf"));
  const auto files = [](FieldWriter& body) {
    for (const char* path : {"/etc/hosts", "/etc/resolv.conf", "/new/deep/file"}) {
      FieldWriter file;
      file.String(Tag::kFilePath, path)
          .String(Tag::kFileContent, std::string("of ") + path + "\n")
          .U64(Tag::kFileMode, 0640);
      body.Group(Tag::kFile, file);
    }
  };
  CHECK_EQ(box->Print("cat /etc/hosts /run/systemd/resolv.conf /etc/resolv.conf /new/deep/file; "
                      "stat -c %a /etc/hosts; echo more >> /etc/hosts; stat -f -c %T /etc/hosts",
                      files),
           "of /etc/hosts\nof /etc/resolv.conf\nof /etc/resolv.conf\nof /new/deep/file\n640\n"
           "tmpfs\n");
}

void MasksAndProtects() {
  const auto paths = [](FieldWriter& body) {
    for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/irq", "/sys/firmware",
                             "/proc/acpi", "/not/there", "/etc/passwd/x"}) {
      body.String(Tag::kMaskedPath, path);
    }
    body.String(Tag::kReadOnlyPath, "/proc/sys");
    body.String(Tag::kReadOnlyPath, "/not/there");
  };
  CHECK_EQ(box->Print("cat /proc/keys; ls /proc/irq /sys/firmware; touch /sys/firmware/x 2>&1; "
                      "(echo 1 > /proc/sys/net/ipv4/ip_forward) 2>&1; stat -c %t,%T /proc/keys",
                      paths),
           "/proc/irq:\n\n/sys/firmware:\ntouch: /sys/firmware/x: Read-only file system\n"
           "sh: can't create /proc/sys/net/ipv4/ip_forward: Read-only file system\n1,3\n");
}

void MountsReadOnlyRoot() {
  CHECK_EQ(box->Print("touch /x 2>&1; touch /dev/shm/x && echo shm; pwd",
                      [](FieldWriter& body) {
                        body.U64(Tag::kReadOnlyRoot, 1);
                        body.String(Tag::kCwd, "/made");
                      }),
           "touch: /x: Read-only file system\nshm\n/made\n");
}

void MountsBindsAndTmpfs() {
  Shell("mkdir -p /tmp/host/sub && echo host > /tmp/host/file && echo one > /tmp/host-file");
  const auto mounts = [](FieldWriter& body) {
    FieldWriter folder = Mount(MountKind::kBind, "/data/in", kNoDevices | MOUNT_ATTR_RDONLY);
    folder.String(Tag::kMountSource, "/tmp/host");
    FieldWriter file = Mount(MountKind::kBind, "/data/single", 0);
    file.String(Tag::kMountSource, "/tmp/host-file");
    FieldWriter tmp = Mount(MountKind::kTmpfs, "/tmp", kNoDevices);
    tmp.String(Tag::kMountData, "size=1m");
    FieldWriter created = Mount(MountKind::kTmpfs, "/made/here", kNoDevices);
    FieldWriter over = Mount(MountKind::kOverlay, "/over", 0);
    over.String(Tag::kMountSource, "/tmp/host").String(Tag::kMountScratch, "over");
    for (const auto& mount : {folder, file, tmp, created, over}) body.Group(Tag::kMount, mount);
  };
  CHECK_EQ(box->Print("cat /data/in/file /data/single; touch /data/in/x 2>&1; stat -c %a /tmp "
                      "/made/here; echo changed > /over/file; cat /over/file; ls /over",
                      mounts),
           "host\none\ntouch: /data/in/x: Read-only file system\n1777\n755\nchanged\nfile\nsub\n");
  std::ifstream file("/tmp/host/file");
  std::string text;
  file >> text;
  CHECK_EQ(text, "host");
}

void SaysWhichExecutableFailed() {
  WriteText(box->LayerPath("/bin/script"), "#!/no/such/interpreter\n");
  WriteText(box->LayerPath("/bin/plain"), "x");
  WriteText(box->LayerPath("/bin/foreign"),
            std::string("\177ELF\2\1\1", 7) + std::string(57, '\0'));
  Shell("chmod 755 " + box->LayerPath("/bin/script") + " " + box->LayerPath("/bin/foreign"));
  CHECK_EQ(FailureOf(box->Body({"absent"})), "FindExecutable ENOENT 0");
  CHECK_EQ(FailureOf(box->Body({"/bin/absent"})), "FindExecutable ENOENT 0");
  CHECK_EQ(FailureOf(box->Body({"plain"})), "FindExecutable EACCES 0");
  CHECK_EQ(FailureOf(box->Body({"/bin"})), "FindExecutable EACCES 0");
  CHECK_EQ(FailureOf(box->Body({"script"})), "Exec ENOENT 0");
  CHECK_EQ(FailureOf(box->Body({"foreign"})), "Exec ENOEXEC 0");
}

void RefusesBadUsersAndFolders() {
  const auto with = [](Tag tag, const char* value) {
    auto body = box->Body({"true"});
    body.String(tag, value);
    return FailureOf(body);
  };
  CHECK_EQ(with(Tag::kUser, "nobody-here"), "User ENOENT 0");
  CHECK_EQ(with(Tag::kUser, "4294967296"), "User EINVAL 0");
  CHECK_EQ(with(Tag::kAddGroup, "nogroup"), "Groups ENOENT 0");
  CHECK_EQ(with(Tag::kCwd, "/etc/passwd"), "Workdir ENOTDIR 0");
  for (const char* fd : {"0", "1", "2", "3", "5", "7", "10"}) {
    const std::string path = std::string("/proc/self/fd/") + fd;
    const std::string failure = with(Tag::kCwd, path.c_str());
    CHECK(failure == "Workdir ELOOP 0" || failure == "Workdir ENOENT 0");
  }
}

void RefusesLinksForKernelFolders() {
  for (const char* name : {"proc", "sys", "dev"}) {
    const std::string path = box->LayerPath(std::string("/") + name);
    Shell("rmdir " + path + " && ln -sf /tmp " + path);
    const std::string failure = FailureOf(box->Body({"true"}));
    Shell("rm " + path);
    // A missing one is made.
    CHECK_EQ(FailureOf(box->Body({"true"})), "none");
    Shell("touch " + path);
    const std::string other = FailureOf(box->Body({"true"}));
    Shell("rm " + path + " && mkdir " + path);
    const std::string index = name[0] == 'p' ? "0" : name[0] == 'd' ? "1" : "3";
    CHECK_EQ(failure, "MountTarget ELOOP " + index);
    CHECK_EQ(other, "MountTarget ENOTDIR " + index);
  }
}

void KeepsToThePlanOfItsOwn() {
  // A link in the image that leads out is its own root's.
  Shell("ln -sf /../../../../../tmp/outside " + box->LayerPath("/etc/out"));
  const auto file = [](FieldWriter& body) {
    FieldWriter item;
    item.String(Tag::kFilePath, "/etc/out").String(Tag::kFileContent, "inside\n");
    body.Group(Tag::kFile, item);
  };
  CHECK_EQ(box->Print("cat /tmp/outside", file), "inside\n");
  CHECK(access("/tmp/outside", F_OK) != 0);
}

void TellsOfSignalsAndCodes() {
  CHECK_EQ(box->Launch(box->Body({"sh", "-c", "exit 42"})).code, 42);
  const auto outcome = box->Launch(box->Body({"sleep", "60"}), {}, [](const auto& started) {
    CHECK_OK(syscall(424, started.pidfd.get(), SIGKILL, nullptr, 0));
  });
  CHECK_EQ(outcome.signal, SIGKILL);
}

void TakesManyLayers() {
  const auto layered = [](int count) {
    FieldWriter body;
    for (int i = 0; i < count; ++i) {
      const std::string layer = "layers/extra-" + std::to_string(i);
      (void)mkdir((std::string(kPlace) + "/store/" + layer).c_str(), 0755);
      body.String(Tag::kLayer, layer);
    }
    return body;
  };
  for (const int count : {3, 120}) {
    FieldWriter body = layered(count);
    const FieldWriter rest = box->Body({"true"});
    FieldWriter all;
    std::vector<uint8_t> bytes(body.bytes().begin(), body.bytes().end());
    bytes.insert(bytes.end(), rest.bytes().begin(), rest.bytes().end());
    CHECK_EQ(box->LaunchBytes(bytes).code, 0);
  }
}

void IsTheSameWhenPrepared(Sandbox::Ready ready) {
  const std::string look =
      "cut -d' ' -f5- /proc/self/mountinfo | sort | grep -v '^/ '; ls -lR /dev | grep -v tty; "
      "stat -c '%a %u %g' /dev /dev/shm /dev/pts /dev/mqueue /sys; hostname; "
      "cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/queues_max /proc/sys/kernel/domainname";
  const auto without_times = [](std::string text) {
    // "Nov 24 10:00" of ls -l
    size_t at = 0;
    while ((at = text.find(':', at)) != std::string::npos) {
      for (const size_t i : {at - 2, at - 1, at + 1, at + 2}) {
        if (i < text.size() && text[i] >= '0' && text[i] <= '9') text[i] = '#';
      }
      ++at;
    }
    return text;
  };
  const std::string plain = without_times(box->Print(look));
  box->ready = ready;
  CHECK_EQ(without_times(box->Print(look)), plain);
  box->ready = Sandbox::Ready::kNothing;
}

// A mount with options of its own is made as asked, and what shows a namespace that the container
// shares with the host is not that of the kit.
void UsesOfAKitWhatThePlanAllows() {
  box->ready = Sandbox::Ready::kKit;
  FieldWriter shm = Mount(MountKind::kShm, "/shm", kNoDevices);
  shm.String(Tag::kMountData, "size=4096");
  CHECK_EQ(box->Print("mkdir -p /shm; stat -f -c '%b %S' /shm",
                      [&](FieldWriter& body) { body.Group(Tag::kMount, shm); }),
           "1 4096\n");
  if (!box->host.rootless) {
    char host_uts[64] = {};
    CHECK(readlink("/proc/self/ns/uts", host_uts, sizeof host_uts - 1) > 0);
    constexpr uint64_t kWithoutUts =
        CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWNET;
    FieldWriter body;
    body.String(Tag::kLayer, "layers/base").U64(Tag::kNamespaces, kWithoutUts);
    body.Group(Tag::kMount, Mount(MountKind::kProc, "/proc"));
    body.Group(Tag::kMount, Mount(MountKind::kDev, "/dev"));
    for (const char* arg : {"readlink", "/proc/self/ns/uts"}) body.String(Tag::kArg, arg);
    body.String(Tag::kEnv, "PATH=/bin");
    body.U64(Tag::kStdout, static_cast<uint64_t>(StdioKind::kDescriptor));
    const Outcome outcome = box->Launch(body);
    if (outcome.failure) CHECK_EQ(Describe(*outcome.failure), "");
    CHECK_EQ(outcome.out, std::string(host_uts) + "\n");
  }
  box->ready = Sandbox::Ready::kNothing;
}

void RunsNothingWithoutLayers() {
  FieldWriter body;
  body.String(Tag::kLayer, "layers/absent").String(Tag::kArg, "true");
  CHECK_EQ(FailureOf(body), "Overlay ENOENT 0");
}

void WaitsAtTheGate() {
  box->gated = true;
  CHECK_EQ(box->Print("echo through"), "through\n");
  box->open_gate = false;
  CHECK_EQ(FailureOf(box->Body({"true"})), "AwaitStart ECANCELED 0");
  box->gated = false;
  box->open_gate = true;
}

void LoadsAFilter() {
  const sock_filter allow = {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = SECCOMP_RET_ALLOW};
  for (const uint64_t no_new_privileges : {0, 1}) {
    CHECK_EQ(box->Print("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr -d '\\t'",
                        [&](FieldWriter& body) {
                          body.U64(Tag::kNoNewPrivileges, no_new_privileges);
                          body.Blob(Tag::kSeccompFilter,
                                    {reinterpret_cast<const uint8_t*>(&allow), sizeof allow});
                        }),
             "NoNewPrivs:" + std::to_string(no_new_privileges) + "\nSeccomp:2\n");
  }
}

// The default policy lets the launch itself finish: without no_new_privs it is there before the
// capabilities and ids change.
void FinishesUnderTheDefaultPolicy() {
  for (const uint64_t policy : {1, 2}) {
    for (const uint64_t no_new_privileges : {0, 1}) {
      for (const char* user : {"", "alice"}) {
        if (box->host.rootless && *user != '\0') continue;
        CHECK_EQ(box->Print("grep Seccomp: /proc/self/status | tr -d '\\t'; unshare -U true 2>&1 | "
                            "grep -c 'not permitted'",
                            [&](FieldWriter& body) {
                              FieldWriter seccomp;
                              seccomp.U64(Tag::kSeccompPolicy, policy);
                              body.Group(Tag::kSeccomp, seccomp);
                              body.U64(Tag::kNoNewPrivileges, no_new_privileges);
                              body.String(Tag::kUser, user);
                            }),
                 "Seccomp:2\n1\n");
      }
    }
  }
}

// One that forbids what the launch needs says which step it was.
void SaysWhatAFilterForbids() {
  FieldWriter rule;
  rule.String(Tag::kSeccompNames, "capset").U64(Tag::kSeccompVerdict, SECCOMP_RET_ERRNO | EACCES);
  FieldWriter seccomp;
  seccomp.U64(Tag::kSeccompPolicy, 3)
      .U64(Tag::kSeccompDefault, SECCOMP_RET_ALLOW)
      .Group(Tag::kSeccompRule, rule);
  auto body = box->Body({"true"});
  body.Group(Tag::kSeccomp, seccomp);
  CHECK_EQ(FailureOf(body), "Capabilities EACCES 0");
  body.U64(Tag::kNoNewPrivileges, 1);
  CHECK_EQ(FailureOf(body), "none");
}

// Somebody on the host swaps a folder of a shared volume for a link while containers with a mount
// below it start. Whatever they meet, nothing appears where the link points to on the host.
void ResistsARacer() {
  Shell("mkdir -p /tmp/race/a /tmp/canary && ln -sf ../../../../tmp/canary /tmp/race/b");
  const pid_t racer = fork();
  CHECK_OK(racer);
  if (racer == 0) {
    for (;;) (void)renameat2(AT_FDCWD, "/tmp/race/a", AT_FDCWD, "/tmp/race/b", RENAME_EXCHANGE);
  }
  auto body = box->Body({"true"});
  FieldWriter volume = Mount(MountKind::kBind, "/vol", 0);
  volume.String(Tag::kMountSource, "/tmp/race");
  body.Group(Tag::kMount, volume);
  body.Group(Tag::kMount, Mount(MountKind::kTmpfs, "/vol/a/inside", kNoDevices));
  for (int i = 0; i < 80; ++i) {
    const Outcome outcome = box->Launch(body);
    if (!outcome.failure) continue;
    CHECK(outcome.failure->step == Step::kMountTarget || outcome.failure->step == Step::kMount);
  }
  CHECK_OK(kill(racer, SIGKILL));
  CHECK_OK(waitpid(racer, nullptr, 0));
  CHECK_OK(rmdir("/tmp/canary"));  // still empty
}

void All(Sandbox& sandbox) {
  box = &sandbox;
  std::vector<Sandbox::Ready> all = {Sandbox::Ready::kNothing, Sandbox::Ready::kKit};
  if (CanCloneDetached()) all.push_back(Sandbox::Ready::kNamespace);
  for (const auto ready : all) {
    sandbox.ready = ready;
    printf("-- prepared: %d\n", static_cast<int>(ready));
    RUN(RunsInItsOwnNamespaces);
    RUN(GivesDevices);
    RUN(LeavesNothingOfTheHost);
    RUN(DropsPrivileges);
    RUN(SetsWhatTheProcessIsTold);
    RUN(PlacesFiles);
    RUN(MasksAndProtects);
    RUN(MountsReadOnlyRoot);
    RUN(MountsBindsAndTmpfs);
    RUN(SaysWhichExecutableFailed);
    RUN(RefusesBadUsersAndFolders);
    RUN(RefusesLinksForKernelFolders);
    RUN(KeepsToThePlanOfItsOwn);
  }
  sandbox.ready = Sandbox::Ready::kNothing;
  for (const auto ready : all) IsTheSameWhenPrepared(ready);
  RUN(UsesOfAKitWhatThePlanAllows);
  RUN(TellsOfSignalsAndCodes);
  RUN(WaitsAtTheGate);
  RUN(LoadsAFilter);
  RUN(FinishesUnderTheDefaultPolicy);
  RUN(SaysWhatAFilterForbids);
  RUN(ResistsARacer);
  RUN(TakesManyLayers);
  RUN(RunsNothingWithoutLayers);
}

}  // namespace
}  // namespace caisson::test

int main() {
  return caisson::test::InBothModes(caisson::test::All);
}
