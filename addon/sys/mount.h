// zone: native (usable in the child zone)
#pragma once

#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// The mount interfaces of the kernel, as thin as they are: -1 and errno. Not <sys/mount.h>, which
// redefines what <linux/mount.h> says (glibc 2.36) and lacks it all elsewhere.
//
// The system calls' numbers from 424 on are the same on every architecture.
namespace caisson::sys {

constexpr int MNT_DETACH = 2;  // said here, for <sys/mount.h> clashes with <linux/mount.h>

inline int OpenTree(int dir, const char* path, unsigned flags) noexcept {
  return static_cast<int>(syscall(428, dir, path, flags));
}

// Moves what `from` is (a detached mount) onto what `to` is (an O_PATH descriptor).
inline int MoveMount(int from, int to) noexcept {
  return static_cast<int>(
      syscall(429, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}
inline int MoveMountToPath(int from, const char* to) noexcept {
  return static_cast<int>(syscall(429, from, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH));
}

inline int FsOpen(const char* type) noexcept {
  return static_cast<int>(syscall(430, type, FSOPEN_CLOEXEC));
}
inline int FsConfig(int context, unsigned command, const char* key, const void* value,
                    int number = 0) noexcept {
  return static_cast<int>(syscall(431, context, command, key, value, number));
}
inline int FsString(int context, const char* key, const char* value) noexcept {
  return FsConfig(context, FSCONFIG_SET_STRING, key, value);
}
inline int FsFlag(int context, const char* key) noexcept {
  return FsConfig(context, FSCONFIG_SET_FLAG, key, nullptr);
}
inline int FsCreate(int context) noexcept {
  return FsConfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr);
}
inline int FsMount(int context, uint64_t attr) noexcept {
  return static_cast<int>(syscall(432, context, FSMOUNT_CLOEXEC, static_cast<unsigned>(attr)));
}

inline int MountSetAttr(int fd, unsigned flags, const struct mount_attr& attr) noexcept {
  return static_cast<int>(syscall(442, fd, "", flags | AT_EMPTY_PATH, &attr, sizeof attr));
}

inline int Mount(const char* source, const char* target, const char* type, unsigned long flags,
                 const void* data) noexcept {
  return static_cast<int>(syscall(SYS_mount, source, target, type, flags, data));
}
inline int Unmount(const char* target, int flags) noexcept {
  return static_cast<int>(syscall(SYS_umount2, target, flags));
}
inline int PivotRoot(const char* new_root, const char* put_old) noexcept {
  return static_cast<int>(syscall(SYS_pivot_root, new_root, put_old));
}

// The flags of mount(2) that mean what `attr` (MOUNT_ATTR_*) means.
constexpr unsigned long MountFlags(uint64_t attr) noexcept {
  unsigned long flags = 0;
  if (attr & MOUNT_ATTR_RDONLY) flags |= MS_RDONLY;
  if (attr & MOUNT_ATTR_NOSUID) flags |= MS_NOSUID;
  if (attr & MOUNT_ATTR_NODEV) flags |= MS_NODEV;
  if (attr & MOUNT_ATTR_NOEXEC) flags |= MS_NOEXEC;
  if (attr & MOUNT_ATTR_NODIRATIME) flags |= MS_NODIRATIME;
  switch (attr & MOUNT_ATTR__ATIME) {
    case MOUNT_ATTR_NOATIME:
      flags |= MS_NOATIME;
      break;
    case MOUNT_ATTR_STRICTATIME:
      flags |= MS_STRICTATIME;
      break;
    default:
      break;
  }
  return flags;
}

}  // namespace caisson::sys
