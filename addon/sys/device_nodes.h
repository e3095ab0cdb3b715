// zone: native (usable in the child zone)
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// What a container's /dev holds: nodes, links, and folders for mounts of their own.
namespace caisson::sys {

struct DeviceNode {
  const char* name;
  unsigned major;
  unsigned minor;
};

constexpr DeviceNode kDeviceNodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                       {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

// True when `fd` is the character device that `node` says, whatever its path claimed.
inline bool IsDevice(int fd, const DeviceNode& node) noexcept {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) &&
         info.st_rdev == makedev(node.major, node.minor);
}

enum class Nodes {
  kMake,   // mknod
  kHolds,  // empty files to bind the host's nodes over: a user namespace cannot make nodes
};

// Fills the empty folder `folder`; expects umask 0. Returns 0 or errno.
inline int FillDeviceFolder(int folder, Nodes nodes) noexcept {
  for (const DeviceNode& node : kDeviceNodes) {
    const mode_t mode = nodes == Nodes::kMake ? S_IFCHR | 0666 : S_IFREG | 0666;
    const dev_t device = nodes == Nodes::kMake ? makedev(node.major, node.minor) : 0;
    if (mknodat(folder, node.name, mode, device) != 0) return errno;
  }
  constexpr struct {
    const char* name;
    const char* target;
  } kLinks[] = {{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
                {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
                {"core", "/proc/kcore"},       {"ptmx", "pts/ptmx"}};
  for (const auto& link : kLinks) {
    if (symlinkat(link.target, folder, link.name) != 0) return errno;
  }
  constexpr const char* kFolders[] = {"pts", "shm", "mqueue"};
  for (const char* name : kFolders) {
    if (mkdirat(folder, name, 0755) != 0) return errno;
  }
  return 0;
}

// The folders of the tmpfs that launch::MakeDevices makes, by which the child finds things in it.
constexpr const char* kDevicesFolder = "dev";     // becomes /dev
constexpr const char* kEmptyFolder = "empty";     // covers masked folders
constexpr const char* kFilesFolder = "files";     // kFile items
constexpr const char* kDevicesNull = "dev/null";  // covers masked files (not in a user namespace)

}  // namespace caisson::sys
