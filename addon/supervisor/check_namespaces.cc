// zone: native
// Namespaces, what may be mounted in them, and the rights they take.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/check_probe.h"
#include "supervisor/user_namespace.h"
#include "sys/mount.h"

namespace caisson::check {
namespace {

struct Kind {
  const char* name;
  int flag;
  const char* limit;  // below /proc/sys/user
};
constexpr Kind kKinds[] = {
    {"mount", CLONE_NEWNS, "max_mnt_namespaces"},
    {"pid", CLONE_NEWPID, "max_pid_namespaces"},
    {"uts", CLONE_NEWUTS, "max_uts_namespaces"},
    {"ipc", CLONE_NEWIPC, "max_ipc_namespaces"},
    {"network", CLONE_NEWNET, "max_net_namespaces"},
    {"cgroup", CLONE_NEWCGROUP, "max_cgroup_namespaces"},
};

// What one cannot do without; the rest is for the container and missed there.
struct Right {
  const char* name;
  int bit;
  bool needed;
};
constexpr Right kRights[] = {
    {"CAP_SYS_ADMIN", 21, true},   {"CAP_SETUID", 7, true},
    {"CAP_SETGID", 6, true},       {"CAP_SETPCAP", 8, true},
    {"CAP_DAC_OVERRIDE", 1, true}, {"CAP_CHOWN", 0, true},
    {"CAP_FOWNER", 3, true},       {"CAP_MKNOD", 27, true},
    {"CAP_NET_ADMIN", 12, true},   {"CAP_KILL", 5, true},
    {"CAP_FSETID", 4, false},      {"CAP_SETFCAP", 31, false},
    {"CAP_SYS_CHROOT", 18, false}, {"CAP_NET_BIND_SERVICE", 10, false},
    {"CAP_NET_RAW", 13, false},    {"CAP_AUDIT_WRITE", 29, false},
};

Finding CapabilitiesOfRoot(const Host& host) {
  const uint64_t held = EffectiveCapabilities();
  std::string needed;
  std::string wanted;
  for (const Right& right : kRights) {
    if ((held >> right.bit & 1) == 0)
      (right.needed ? needed : wanted) += std::string(" ") + right.name;
  }
  const std::string who = host.uid == 0 ? "root here is without" : "the program is without";
  if (!needed.empty()) return Fail("missing-capabilities", EPERM, who + needed);
  if (!wanted.empty())
    return Note("missing-capabilities", 0, who + wanted + ": containers cannot have them either");
  return Ok();
}

Finding UserNamespaces(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    const Result<> entered = EnterUserNamespace();
    // The maps are the next item's matter.
    if (entered || entered.error().step != Step::kUserNamespace) return Ok();
    const int error = entered.error().error;
    const std::string cause = UserNamespaceCause(host, error);
    std::string why = "user namespaces are refused";
    if (cause == "max-user-namespaces") why = "user.max_user_namespaces is 0";
    if (cause == "user-namespace-limit")
      why = "the limit of user namespaces, or of their nesting, is reached";
    if (cause == "kernel-config") why = "the kernel is built without user namespaces";
    if (cause == "unprivileged-userns-clone") why = "kernel.unprivileged_userns_clone is 0";
    if (cause == "apparmor")
      why =
          "kernel.apparmor_restrict_unprivileged_userns is on and no AppArmor profile allows this "
          "program";
    if (cause == "outer-seccomp") why = "an outer seccomp filter forbids unshare(CLONE_NEWUSER)";
    if (cause == "chroot")
      why = "the program runs in a chroot, where the kernel refuses user namespaces";
    if (cause == "lsm") why = "a security module refuses user namespaces";
    return Fail(cause.c_str(), error, why);
  });
}

Finding IdMap(const Host& host) {
  return Try(host, Where::kOutside, [&] {
    const Result<> entered = EnterUserNamespace();
    if (entered) return Ok("0 in the namespace is " + std::to_string(host.uid) + " outside");
    const int error = entered.error().error;
    if (entered.error().step == Step::kUserNamespace) {
      return Fail("not-tried", 0, "not tried: there is no user namespace to try it in");
    }
    // Mapping the parent's uid 0 needs CAP_SETFCAP since 5.12.
    if (host.uid == 0 && error == EPERM && (EffectiveCapabilities() >> 31 & 1) == 0) {
      return Fail("missing-capabilities", error, "writing uid_map as root needs CAP_SETFCAP");
    }
    constexpr const char* kFiles[] = {"setgroups", "uid_map", "gid_map"};
    return Fail(
        UserNamespaceCause(host, error), error,
        std::string("writing /proc/self/") + kFiles[entered.error().index % 3] + " is refused");
  });
}

// Ubuntu's profile for unlisted programs lets unshare and the maps pass and takes the capabilities.
Finding MountInside(const Host& host) {
  return Try(host, Where::kInside, [&] {
    if (sys::Mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=4k") == 0) return Ok();
    if (errno == ENOENT && sys::Mount("tmpfs", "/", "tmpfs", 0, "size=4k") == 0) return Ok();
    return Fail(UserNamespaceCause(host, errno), errno,
                "nothing may be mounted in a user namespace");
  });
}

Finding Namespaces(const Host& host) {
  std::string missing;
  std::string limits;
  int error = 0;
  for (const Kind& kind : kKinds) {
    const Finding one = Try(host, Where::kInside, [&] {
      return unshare(kind.flag) == 0 ? Ok() : Fail("refused", errno, kind.name);
    });
    if (one.verdict == Verdict::kOk) continue;
    // In mode root the first trial's own mount namespace is what is missing.
    if (strcmp(one.cause, "not-tried") == 0 && host.rootless) return one;
    missing += std::string(" ") + kind.name;
    if (one.error != 0) error = one.error;
    const std::string limit = std::string("/proc/sys/user/") + kind.limit;
    if (ReadWord(limit.c_str()) == "0") limits += std::string(" user.") + kind.limit;
  }
  if (missing.empty()) return Ok();
  if (!limits.empty()) return Fail("namespace-limit", error, "set to 0:" + limits);
  if (!host.rootless && (EffectiveCapabilities() >> 21 & 1) == 0) {
    return Fail("missing-capabilities", EPERM,
                "without CAP_SYS_ADMIN there are no namespaces:" + missing);
  }
  if (host.filtered)
    return Fail("outer-seccomp", error == 0 ? EPERM : error,
                "an outer seccomp filter forbids namespaces:" + missing);
  if (error == EINVAL)
    return Fail("kernel-config", error, "the kernel is built without namespaces:" + missing);
  if (error == ENOSPC)
    return Fail("namespace-limit", error, "the limit is reached for namespaces:" + missing);
  return Fail("refused", error, "refused are namespaces:" + missing);
}

// Folders of proc and sysfs that are made to be mounted on: the kernel does not count these.
constexpr const char* kMountPoints[] = {
    "/proc/sys/fs/binfmt_misc",
    "/proc/fs/nfsd",
    "/sys/fs/",
    "/sys/kernel/security",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/config",
    "/sys/firmware/efi/efivars",
};

// What covers parts of `folder`, by which the kernel tells that a fresh mount would show more.
std::string CoveredParts(const char* folder) {
  const std::string prefix = std::string(folder) + "/";
  std::string found;
  int count = 0;
  for (const std::string& line : Lines(ReadFile("/proc/self/mountinfo", 1 << 20))) {
    const std::vector<std::string> words = Words(line);
    if (words.size() < 5 || !words[4].starts_with(prefix)) continue;
    bool expected = false;
    for (const char* point : kMountPoints) expected |= words[4].starts_with(point);
    if (expected) continue;
    if (++count <= 4) found += " " + words[4];
  }
  if (count > 4) found += " and " + std::to_string(count - 4) + " more";
  return found;
}

// Mounts a new `type` over `folder`, in the trial's own mount namespace.
int MountOver(const char* type, const char* folder, const char* data = nullptr) {
  return sys::Mount(type, folder, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) == 0 ? 0 : errno;
}

Finding Proc(const Host& host) {
  const std::string covered = CoveredParts("/proc");
  return TryAsInit(host, 0, [&] {
    const int error = MountOver("proc", "/proc");
    if (error == 0) return Ok();
    if (error == EPERM && !covered.empty()) {
      return Fail("masked-proc", error,
                  "a new /proc is refused because parts of this one are covered:" + covered);
    }
    return Fail(error == EPERM && host.filtered ? "outer-seccomp" : "refused", error,
                "a new /proc is refused");
  });
}

Finding Sysfs(const Host& host) {
  const std::string covered = CoveredParts("/sys");
  return TryAsInit(host, CLONE_NEWNET, [&] {
    const int error = MountOver("sysfs", "/sys");
    if (error == 0) return Ok();
    if (error == EPERM) {
      return Fail("masked-sysfs", error,
                  "a new /sys is refused because this one is read-only or covered:" + covered);
    }
    return Fail("refused", error, "a new /sys is refused");
  });
}

Finding FileSystems(const Host& host) {
  return TryAsInit(host, CLONE_NEWIPC, [&] {
    if (const int error = MountOver("tmpfs", "/", "size=64k"))
      return Fail("refused", error, "tmpfs cannot be mounted");
    // "/" still is the covered root here; the new one is reached through "/..".
    if (chdir("/..") != 0) return Fail("refused", errno, "chdir");
    for (const char* type : {"devpts", "mqueue"}) {
      if (mkdir(type, 0755) != 0) return Fail("refused", errno, "mkdir on a tmpfs");
      const bool pts = strcmp(type, "devpts") == 0;
      const int error =
          MountOver(type, type, pts ? "newinstance,ptmxmode=0666,mode=0620" : nullptr);
      if (error == ENODEV)
        return Fail("kernel-config", error, std::string("the kernel is built without ") + type);
      if (error != 0) return Fail("refused", error, std::string(type) + " cannot be mounted");
    }
    return Ok();
  });
}

Finding PivotRoot(const Host& host) {
  return TryAsInit(host, 0, [&] {
    if (const int error = MountOver("tmpfs", "/tmp", "size=64k"))
      return Fail("refused", error, "tmpfs cannot be mounted on /tmp");
    if (chdir("/tmp") != 0) return Fail("refused", errno, "chdir");
    if (sys::PivotRoot(".", ".") == 0) return Ok();
    if (errno == EINVAL) {
      return Fail("initramfs", errno,
                  "the root folder cannot be exchanged: it is an initramfs, or no mount (chroot)");
    }
    return Fail(host.filtered ? "outer-seccomp" : "refused", errno, "pivot_root is refused");
  });
}

}  // namespace

std::vector<Item> NamespaceItems() {
  using enum Weight;
  return {
      {"capabilities", CapabilitiesOfRoot, kNeeded, kSkipped},
      {"user-namespaces", UserNamespaces, kWanted, kNeeded},
      {"id-map", IdMap, kSkipped, kNeeded},
      {"mount-in-user-namespace", MountInside, kSkipped, kNeeded},
      {"namespaces", Namespaces, kNeeded, kNeeded},
      {"file-systems", FileSystems, kNeeded, kNeeded},
      {"proc", Proc, kNeeded, kNeeded},
      {"sysfs", Sysfs, kNeeded, kNeeded},
      {"pivot-root", PivotRoot, kNeeded, kNeeded},
  };
}

}  // namespace caisson::check
