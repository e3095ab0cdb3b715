// zone: native
#pragma once

#include <stdint.h>
#include <time.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layer/sparse_map.h"
#include "supervisor/canonical_tar.h"

// The extended headers of POSIX tar ("pax").
namespace caisson::layer {

// What they say, each at most once; of the keywords that mean nothing here, nothing.
struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<uint64_t> uid;
  std::optional<uint64_t> gid;
  std::optional<uint64_t> size;
  std::optional<timespec> mtime;
  std::vector<Xattr> xattrs;

  // GNU's sparse formats 0.0, 0.1 and 1.0.
  std::optional<uint64_t> sparse_major;
  std::optional<uint64_t> sparse_minor;
  std::optional<uint64_t> sparse_pieces;  // 0.0 and 0.1: there is a map here
  std::optional<uint64_t> sparse_size;    // of the file
  std::optional<std::string> sparse_path;
  SparseMap sparse_map;
  std::optional<uint64_t> sparse_offset;  // 0.0: half a piece
};

// Adds what `body` says to `records`; an empty value takes one away. Nothing, or what is wrong.
[[nodiscard]] std::optional<std::string> ParsePax(std::string_view body, PaxRecords* records);

}  // namespace caisson::layer
