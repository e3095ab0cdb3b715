// zone: native
// What depends on the file systems of the store and of the run folder.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "supervisor/check_probe.h"
#include "sys/mount.h"

namespace caisson::check {
namespace {

constexpr uint64_t kFullBytes = 64ull << 20;
constexpr uint64_t kLowBytes = 1ull << 30;

struct FileSystem {
  uint32_t magic;
  const char* name;
  const char* cause;  // when an overlay cannot write to it
};
constexpr FileSystem kFileSystems[] = {
    {0x794c7630, "overlay", "store-on-overlay"},   {0x6969, "NFS", "store-on-network"},
    {0xff534d42, "CIFS", "store-on-network"},      {0xfe534d42, "SMB", "store-on-network"},
    {0x01021997, "9p", "store-on-network"},        {0x00c36400, "ceph", "store-on-network"},
    {0x65735546, "FUSE", "store-file-system"},     {0x858458f6, "ramfs", "store-file-system"},
    {0xf15f, "ecryptfs", "store-file-system"},     {0x4d44, "vfat", "store-file-system"},
    {0x2011bab0, "exfat", "store-file-system"},    {0x9fa0, "proc", "store-file-system"},
    {0xef53, "ext4", "store-file-system"},         {0x58465342, "xfs", "store-file-system"},
    {0x9123683e, "btrfs", "store-file-system"},    {0x01021994, "tmpfs", "store-file-system"},
    {0x2fc12fc1, "zfs", "store-file-system"},      {0xf2f52010, "f2fs", "store-file-system"},
    {0xca451a4e, "bcachefs", "store-file-system"}, {0x73717368, "squashfs", "store-file-system"},
};

FileSystem FileSystemOf(const std::string& folder) {
  struct statfs status = {};
  if (statfs(folder.c_str(), &status) != 0) return {0, "unknown", "store-file-system"};
  const auto magic = static_cast<uint32_t>(status.f_type);
  for (const FileSystem& known : kFileSystems) {
    if (known.magic == magic) return known;
  }
  return {magic, "unknown", "store-file-system"};
}

// Why nothing can be written where `path` is or would be.
Finding NotWritable(std::string path, const char* what) {
  struct stat status;
  while (stat(path.c_str(), &status) != 0 && errno == ENOENT && path.size() > 1) {
    const size_t slash = path.find_last_of('/');
    path = slash == 0 ? "/" : path.substr(0, slash);
  }
  int error = 0;
  if (stat(path.c_str(), &status) != 0) {
    error = errno;
  } else if (!S_ISDIR(status.st_mode)) {
    error = ENOTDIR;
  } else if (faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    error = errno;
  } else {
    error = ENOSPC;
  }
  const char* cause = error == EROFS ? "read-only" : error == ENOSPC ? "full" : "not-writable";
  return Fail(
      cause, error,
      std::string("nothing can be written in ") + path + ", where the " + what + " would lie");
}

Finding RequireStore(const Host& host, const std::function<Finding()>& next) {
  if (host.store_folder.empty())
    return Fail("not-tried", 0, "not tried: nothing can be written in the store");
  return next();
}

Finding Store(const Host& host) {
  if (host.store_folder.empty()) return NotWritable(host.root, "store");
  const std::string name = FileSystemOf(host.store_folder).name;
  return Ok(host.root + " on " + name);
}

Finding RunFolder(const Host& host) {
  if (host.run_folder.empty()) return NotWritable(host.run, "run folder");
  return Try(host, Where::kOutside, [&] {
    const std::string path = host.run_folder + "/lock";
    const UniqueFd file(open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    if (!file) return Fail("not-writable", errno, "no file can be made in the run folder");
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      return Fail("no-locks", errno,
                  std::string("flock is refused on ") + FileSystemOf(host.run_folder).name);
    }
    return Ok(host.run);
  });
}

Finding DiskSpace(const Host& host) {
  return RequireStore(host, [&] {
    struct statvfs status = {};
    if (statvfs(host.store_folder.c_str(), &status) != 0) return Fail("unknown", errno, "statvfs");
    const uint64_t bytes = uint64_t{status.f_bavail} * status.f_frsize;
    const std::string free = std::to_string(bytes >> 20) + " MiB free";
    if (status.f_files != 0 && status.f_favail == 0)
      return Fail("full", ENOSPC, "no inode is free");
    // Some file systems do not count at all.
    if (status.f_blocks == 0) return Ok("the file system does not count");
    if (bytes < kFullBytes) return Fail("full", ENOSPC, free);
    if (bytes < kLowBytes) return Note("low", 0, free);
    return Ok(free);
  });
}

Finding DirectoryTypes(const Host& host) {
  return RequireStore(host, [&] {
    return Try(host, Where::kOutside, [&] {
      const std::string path = host.store_folder + "/type";
      if (mkdir(path.c_str(), 0700) != 0) return Fail("not-writable", errno, "mkdir");
      DIR* folder = opendir(host.store_folder.c_str());
      if (folder == nullptr) return Fail("not-writable", errno, "opendir");
      Finding finding = Fail("no-file-types", 0,
                             "folder entries carry no file type (d_type; XFS made with ftype=0)");
      while (const dirent* entry = readdir(folder)) {
        if (strcmp(entry->d_name, "type") == 0 && entry->d_type == DT_DIR) finding = Ok();
      }
      (void)closedir(folder);
      return finding;
    });
  });
}

// Where overlay keeps its marks: trusted.* as root, user.* in a user namespace.
Finding ExtendedAttributes(const Host& host) {
  return RequireStore(host, [&] {
    return Try(host, Where::kInside, [&] {
      const char* name = host.rootless ? "user.caisson.check" : "trusted.caisson.check";
      const std::string kind = host.rootless ? "user.*" : "trusted.*";
      if (setxattr(host.store_folder.c_str(), name, "y", 1, 0) == 0) return Ok(kind);
      const std::string where = std::string(" on ") + FileSystemOf(host.store_folder).name;
      if (errno == EPERM && !host.rootless) {
        return Fail("missing-capabilities", errno,
                    kind + " attributes need CAP_SYS_ADMIN outside of user namespaces");
      }
      return Fail("no-attributes", errno, "no " + kind + " attributes can be set" + where);
    });
  });
}

// ---- overlay ---------------------------------------------------------------------------------

enum class LayerStyle : uint8_t { kDescriptors, kNames, kClassic };
constexpr const char* kStyleNames[] = {"layers by descriptor", "layers one by one by name",
                                       "all layers in one string"};

struct Overlay {
  UniqueFd mount;
  int error = 0;
  std::string reason;  // of the kernel's, from the context's log
};

std::string KernelLog(int context) {
  std::string all;
  char line[1024];  // a smaller buffer loses the message
  for (;;) {
    const ssize_t bytes = RetryEintr([&] { return read(context, line, sizeof line); });
    if (bytes <= 2) return all;
    // "e overlay: text"
    std::string_view text(line, static_cast<size_t>(bytes));
    text.remove_prefix(2);
    if (!all.empty()) all += "; ";
    all.append(text.substr(0, text.find('\n')));
  }
}

// An overlay of l2 over l1 with u as its upper folder, in the current folder.
Overlay MakeOverlay(const Host& host, LayerStyle style) {
  Overlay overlay;
  const UniqueFd context(sys::FsOpen("overlay"));
  if (!context) return {UniqueFd(), errno, {}};
  const int fd = context.get();
  int error = 0;
  const auto set = [&](const char* key, const char* value) {
    if (error == 0 && sys::FsString(fd, key, value) != 0) error = errno;
  };
  const auto layer = [&](const char* key, const char* folder) {
    if (style != LayerStyle::kDescriptors) return set(key, folder);
    if (error != 0) return;
    const UniqueFd opened(open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (sys::FsConfig(fd, FSCONFIG_SET_FD, key, nullptr, opened.get()) != 0) error = errno;
  };
  if (style == LayerStyle::kClassic) {
    set("lowerdir", "l2:l1");
  } else {
    layer("lowerdir+", "l2");
    layer("lowerdir+", "l1");
  }
  layer("upperdir", "u");
  layer("workdir", "w");
  // As the launch says them: a distribution may default any of them to on. `userxattr` goes with
  // redirect_dir=nofollow alone.
  set("redirect_dir", "nofollow");
  set("metacopy", "off");
  set("index", "off");
  if (error == 0 && host.rootless && sys::FsFlag(fd, "userxattr") != 0) error = errno;
  if (error == 0 && sys::FsCreate(fd) != 0) error = errno;
  if (error == 0) {
    overlay.mount.reset(sys::FsMount(fd, 0));
    if (!overlay.mount) error = errno;
  }
  overlay.error = error;
  if (error != 0) overlay.reason = KernelLog(fd);
  return overlay;
}

int Touch(int at, const char* name) {
  const UniqueFd file(openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  return file ? 0 : errno;
}

// The folders an overlay is tried with: l1 has a file and a folder that will be removed above it.
int LayOut(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 || chdir(folder.c_str()) != 0) return errno;
  for (const char* name : {"l1", "l2", "u", "w", "l1/folder"}) {
    if (mkdir(name, 0755) != 0) return errno;
  }
  const int error = Touch(AT_FDCWD, "l1/file");
  return error != 0 ? error : Touch(AT_FDCWD, "l1/folder/hidden");
}

// A white-out, an opaque folder and a copied-up file, as any image will want them.
Finding UseOverlay(int root) {
  if (const int error = Touch(root, "new"))
    return Fail("overlay-broken", error, "no file can be made in an overlay");
  if (unlinkat(root, "file", 0) != 0)
    return Fail("overlay-broken", errno, "no file can be removed in an overlay");
  if (fchmodat(root, "folder/hidden", 0755, 0) != 0)
    return Fail("overlay-broken", errno, "no file can be copied up");
  if (unlinkat(root, "folder/hidden", 0) != 0 || unlinkat(root, "folder", AT_REMOVEDIR) != 0 ||
      mkdirat(root, "folder", 0755) != 0) {
    return Fail("overlay-broken", errno, "no folder can be replaced in an overlay");
  }
  if (faccessat(root, "file", F_OK, 0) == 0 || faccessat(root, "folder/hidden", F_OK, 0) == 0) {
    return Fail("overlay-broken", 0,
                "what was removed shows again: the file system keeps no extended attributes");
  }
  return Ok();
}

Finding TryOverlay(const Host& host, LayerStyle style) {
  return Try(host, Where::kInside, [&] {
    const std::string folder =
        host.store_folder + "/overlay" + std::to_string(static_cast<int>(style));
    if (const int error = LayOut(folder))
      return Fail("not-writable", error, "folders for an overlay cannot be made");
    const Overlay overlay = MakeOverlay(host, style);
    if (overlay.error == 0) return UseOverlay(overlay.mount.get());

    const FileSystem under = FileSystemOf(host.store_folder);
    const std::string reason = overlay.reason.empty() ? "" : " (" + overlay.reason + ")";
    if (overlay.error == ENODEV)
      return Fail("no-overlay", overlay.error, "the kernel has no overlay file system");
    if (overlay.error == ENOSYS)
      return Fail(host.filtered ? "outer-seccomp" : "old-kernel", overlay.error,
                  "fsopen is missing");
    if (overlay.error == EPERM) {
      if (host.rootless)
        return Fail("overlay-in-user-namespace", EPERM,
                    "overlays are refused in user namespaces" + reason);
      return Fail("missing-capabilities", EPERM, "overlays need CAP_SYS_ADMIN" + reason);
    }
    return Fail(under.cause, overlay.error,
                std::string("an overlay on ") + under.name + " is refused" + reason);
  });
}

Finding OverlayOnStore(const Host& host) {
  return RequireStore(host, [&] {
    Finding best;
    for (const LayerStyle style :
         {LayerStyle::kDescriptors, LayerStyle::kNames, LayerStyle::kClassic}) {
      const Finding finding = TryOverlay(host, style);
      if (finding.verdict == Verdict::kOk) return Ok(kStyleNames[static_cast<int>(style)]);
      // The last refusal counts, but one with the kernel's own words is worth more.
      if (strchr(best.detail, '(') == nullptr) best = finding;
      // How an older kernel answers a newer form of the same question (before 6.5 EOPNOTSUPP).
      if (finding.error != EINVAL && finding.error != EOPNOTSUPP) break;
    }
    return best;
  });
}

// ---- what makes things cheaper ---------------------------------------------------------------

// A mount whose ids are shifted by a user namespace: `userns: 'auto'` without copying the image.
Finding IdMappedMounts(const Host& host) {
  return RequireStore(host, [&] {
    return Try(host, Where::kInside, [&] {
      // The namespace lives as long as the process that made it: it waits for our end of a socket.
      int ends[2];
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return Fail("resources", errno, "socketpair");
      const pid_t child = fork();
      if (child == 0) {
        (void)close(ends[0]);
        char byte = unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
        (void)!write(ends[1], &byte, 1);
        (void)!read(ends[1], &byte, 1);
        _exit(0);
      }
      (void)close(ends[1]);
      char answer = 'n';
      (void)!read(ends[0], &answer, 1);
      const std::string folder = "/proc/" + std::to_string(child);
      UniqueFd name_space;
      int error = answer == 'y' ? 0 : EPERM;
      for (const char* map : {"/uid_map", "/gid_map"}) {
        const UniqueFd file(open((folder + map).c_str(), O_WRONLY | O_CLOEXEC));
        if (error == 0 && write(file.get(), "0 100000 65536", 14) != 14) error = errno;
      }
      if (error == 0) name_space.reset(open((folder + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
      (void)close(ends[0]);
      if (child > 0) (void)RetryEintr([&] { return waitpid(child, nullptr, 0); });
      if (!name_space)
        return Fail("no-user-namespace", error, "there is no user namespace to take the ids from");

      const UniqueFd tree(
          sys::OpenTree(AT_FDCWD, host.store_folder.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
      const struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP,
                                            .attr_clr = 0,
                                            .propagation = 0,
                                            .userns_fd = static_cast<uint64_t>(name_space.get())};
      if (tree && sys::MountSetAttr(tree.get(), 0, attributes) == 0) return Ok();
      return Fail("store-file-system", errno,
                  std::string("no id-mapped mounts on ") + FileSystemOf(host.store_folder).name);
    });
  });
}

Finding Reflink(const Host& host) {
  return RequireStore(host, [&] {
    return Try(host, Where::kOutside, [&] {
      const UniqueFd from(
          open((host.store_folder + "/a").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
      const UniqueFd to(
          open((host.store_folder + "/b").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
      if (!from || !to || write(from.get(), "x", 1) != 1)
        return Fail("not-writable", errno, "files cannot be made");
      if (ioctl(to.get(), FICLONE, from.get()) == 0) return Ok();
      return Fail(
          "store-file-system", errno,
          std::string("files are copied, not shared, on ") + FileSystemOf(host.store_folder).name);
    });
  });
}

}  // namespace

std::vector<Item> StoreItems() {
  using enum Weight;
  return {
      {"store", Store, kNeeded, kNeeded},
      {"run-folder", RunFolder, kNeeded, kNeeded},
      {"disk-space", DiskSpace, kNeeded, kNeeded},
      {"file-types", DirectoryTypes, kNeeded, kNeeded},
      {"extended-attributes", ExtendedAttributes, kNeeded, kNeeded},
      {"overlay", OverlayOnStore, kNeeded, kNeeded},
      {"id-mapped-mounts", IdMappedMounts, kWanted, kSkipped},
      {"reflink", Reflink, kWanted, kWanted},
  };
}

}  // namespace caisson::check
