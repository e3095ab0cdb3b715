// zone: native
#pragma once

namespace caisson {

// Copies the folder behind `source_fd` into a new folder `target_name` beneath `target_parent_fd`,
// and computes the digest of its canonical tar stream (canonical_tar.h). Blocks for as long as that
// takes: run by a worker of its own. Descriptors are borrowed.
//
// Kept: contents with their holes (reflinked where the file system can), hard links within the
// tree, modes with set-id and sticky bits, owners, times to the nanosecond, links, devices and
// fifos, and the xattrs user.*, trusted.*, security.capability and POSIX ACLs. Not kept: sockets;
// overlay's own xattrs and 0/0 devices (to overlay they would be whiteouts); labels of the host's
// security modules; what lies on another mount (like `tar --one-file-system`: the mount point comes
// as an empty folder or file). A name that begins with ".wh." is refused: no image can hold it.
// Where the process can give files to itself only (a user namespace with one id), every owner
// becomes 0, device nodes are left out, and so are ACLs that name users or groups.
//
// No link is followed and no path is resolved: only single names beneath opened folders. A source
// that changes meanwhile gives some mixture of before and after, and a digest that is true of the
// copy.
//
// On return the copy has reached the disk (syncfs). A failure, or being killed, leaves what was
// made so far under `target_name`: one way to remove it is enough, the caller's.
//
// Writes one body of fields to `report_fd`, smaller than PIPE_BUF:
//   returns 0: kImportResult, kImportBytes, kImportTarBytes
//   returns 1: kStep, kErrno, kIndex, kDetail (the path below the source that it was about)
[[nodiscard]] int RunImport(int source_fd, int target_parent_fd, const char* target_name,
                            int report_fd);

// As RunImport; also writes the tar stream to `tar_fd`.
[[nodiscard]] int RunImportAndTar(int source_fd, int target_parent_fd, const char* target_name,
                                  int report_fd, int tar_fd);

}  // namespace caisson
