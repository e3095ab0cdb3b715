// zone: native
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <string>
#include <string_view>
#include <vector>

#include "supervisor/sha256.h"

namespace caisson {

// One extended attribute; the value is binary.
struct Xattr {
  std::string name;
  std::string value;
};

// The one tar stream that a folder has. A layer imported from a folder keeps no tar file; its
// diffID is the digest of this stream, which can be written again from the layer at any time, byte
// by byte. The form, which may never change:
//
// - POSIX ustar with pax extended headers. First the folder itself as "./", then depth first, the
//   entries of each folder in byte order of their names. Names are relative without a leading "./",
//   folders end in "/".
// - Every numeric field is octal digits, zero padded, ended by one NUL (the checksum: six digits, a
// NUL,
//   a space). Owner and group names are empty; magic "ustar", version "00"; prefix empty.
// - Type 5 folder, 0 file, 2 link, 3 and 4 devices, 6 fifo. A file, link, device or fifo whose
//   inode came before is type 1 with the first name as its link name, the same attributes, no
//   xattrs and no content. Sockets do not appear. The size field is 0 but for files (type 0).
// - A pax header (type x, named "././@PaxHeader", mode 0644, everything else 0) precedes an entry
//   that needs one; its records stand in byte order of their keywords:
//     path, linkpath  longer than 100 bytes; the field then holds the first 100 bytes
//     uid, gid        above 07777777; the field is 0
//     size            above 077777777777; the field is 0
//     mtime           with a fraction, negative or above 077777777777: seconds, then "." and the
//                     nanoseconds without trailing zeros; the field holds the whole seconds,
//                     rounded down, or 0 where they do not fit
//     SCHILY.xattr.…  each xattr; in its name "%" is written %25 and "=" %3D, as GNU tar does
// - Content is padded with zeros to 512 bytes; holes are zeros. Two blocks of zeros are the end.
struct TarEntry {
  enum class HardLink { kNo, kYes };

  std::string_view path;       // relative, without "./" and without a "/" at its end; "" is the top
  std::string_view link_path;  // target of a symbolic link, or the first name of a hard link
  HardLink hard_link = HardLink::kNo;
  mode_t mode = 0;  // as in stat
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;
  timespec mtime = {};
  dev_t device = 0;                            // of a device node
  const std::vector<Xattr>* xattrs = nullptr;  // in byte order of their names
};

// Headers of one entry: the pax header where it needs one, then its own.
[[nodiscard]] std::string EncodeTarHeaders(const TarEntry& entry);

// Takes the stream entry by entry and digests it; also writes it to `copy_fd` (borrowed) unless -1.
class CanonicalTar {
 public:
  explicit CanonicalTar(int copy_fd = -1) noexcept : copy_fd_(copy_fd) {}

  void Begin(const TarEntry& entry);
  // Content of a file, `size` bytes in all.
  void Data(const void* data, size_t bytes);
  void Zeros(uint64_t bytes);
  void End();
  // Ends the stream.
  [[nodiscard]] Sha256::Digest Finish();

  // Length of the stream so far.
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }
  // The first error of writing to `copy_fd`, or 0.
  [[nodiscard]] int copy_error() const noexcept { return copy_error_; }

 private:
  void Add(const void* data, size_t bytes);
  void Copy(const void* data, size_t bytes);

  Sha256 sha_;
  uint64_t bytes_ = 0;
  uint64_t content_ = 0;
  int copy_fd_;
  int copy_error_ = 0;
};

}  // namespace caisson
