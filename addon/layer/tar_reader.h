// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/fields.h"
#include "base/result.h"
#include "layer/pax.h"
#include "layer/sparse_map.h"
#include "layer/tar_entry.h"
#include "layer/tar_header.h"

namespace caisson::layer {

// Reads a tar archive that comes in pieces of any size, and tells a sink what it holds. Does
// nothing else: no system call, no clock. Understands POSIX ustar and pax (also global headers),
// star, GNU's long names, numbers in base 256, and sparse files of all four forms (GNU's old one,
// 0.0, 0.1, 1.0).
//
// Nothing about the bytes is believed: an archive that is not well-formed is refused, with
// Failure{kUnpackTar, EBADMSG} and what was wrong in `detail`; one that holds what we cannot make
// (parts of several volumes, unknown types) with EOPNOTSUPP. Where two programs could read
// different entries out of the same bytes, this reads what Go's archive/tar does, for that is what
// has written most layers: links, folders and devices have no content, whatever their size says.
//
// Memory: at most 1 MiB for each of the extensions of one entry, and of the global ones together.
class TarReader {
 public:
  explicit TarReader(EntrySink& sink) : sink_(sink) {}

  // After a failure nothing more may be fed.
  [[nodiscard]] Result<> Feed(Bytes data);
  // There is no more: fails where the archive is cut off. Two blocks of zeros are its end, but it
  // may also just stop.
  [[nodiscard]] Result<> Finish();

  // Of a failure that was ours and not the sink's.
  [[nodiscard]] const std::string& detail() const noexcept { return detail_; }

 private:
  enum class State : uint8_t {
    kHeader,
    kSecondZero,
    kExtension,    // the body of a header that is about the next one
    kSparseBlock,  // of GNU's old format
    kSparseText,   // of format 1.0
    kContent,
    kPadding,
    kEnd,
  };

  [[nodiscard]] std::unexpected<Failure> Bad(std::string what);
  // Moves up to `bytes` bytes in all from `data` to the buffer; true when they are there.
  [[nodiscard]] bool Gather(Bytes* data, size_t bytes);

  [[nodiscard]] Result<> Step(Bytes* data);
  [[nodiscard]] Result<> Header();
  [[nodiscard]] Result<> Special(char type, int64_t size);
  [[nodiscard]] Result<> EndExtension();
  [[nodiscard]] Result<> Ordinary(const TarHeader& header, int64_t size);
  [[nodiscard]] Result<> Attributes(const TarHeader& header);
  [[nodiscard]] Result<> FillEntry(const TarHeader& header, char type);
  [[nodiscard]] Result<> PaxSparse();
  [[nodiscard]] Result<> OldSparse(const TarHeader& header);
  [[nodiscard]] Result<> AddPiece(const TarHeader::Piece& piece);
  [[nodiscard]] Result<> SparseBlock();
  [[nodiscard]] Result<> SparseText();
  // All is known: the sink hears of it.
  [[nodiscard]] Result<> BeginEntry();
  [[nodiscard]] Result<> Content(Bytes* data);
  [[nodiscard]] Result<> EndContent();

  EntrySink& sink_;
  std::string detail_;
  State state_ = State::kHeader;
  std::string buffer_;  // what a state gathers

  // Of the next entry, from the headers before it.
  unsigned extensions_ = 0;
  char extension_type_ = 0;
  size_t extension_bytes_ = 0;
  PaxRecords global_;
  size_t global_bytes_ = 0;
  std::optional<PaxRecords> pax_;
  std::optional<std::string> long_path_;
  std::optional<std::string> long_link_;

  // The entry at hand.
  Entry entry_;
  uint64_t stored_ = 0;        // bytes of content in the archive
  uint64_t stored_left_ = 0;   // of them not seen yet
  uint64_t padding_left_ = 0;  // to the next block
  bool is_told_ = false;       // whether the sink knows of it: content that is skipped has none
  std::optional<SparseMap> sparse_;
  std::optional<SparseMapText> sparse_text_;
  size_t piece_ = 0;
  uint64_t piece_done_ = 0;
};

}  // namespace caisson::layer
