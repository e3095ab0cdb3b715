// zone: native
#include "layer/tar_reader.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace caisson::layer {
namespace {

constexpr size_t kMostExtensionBytes = 1 << 20;
// pax, GNU's two and a global one: nobody writes more of them before one entry.
constexpr unsigned kMostExtensions = 16;
constexpr uint32_t kNobodyAtAll = ~uint32_t{0};

std::string Printable(char type) {
  return type >= ' ' && type <= '~' ? std::string{'\'', type, '\''}
                                    : std::to_string(static_cast<uint8_t>(type));
}

bool IsId(uint64_t number) noexcept {
  return number < kNobodyAtAll;
}

}  // namespace

std::unexpected<Failure> TarReader::Bad(std::string what) {
  detail_ = std::move(what);
  return Fail(Step::kUnpackTar, EBADMSG);
}

bool TarReader::Gather(Bytes* data, size_t bytes) {
  const size_t count = std::min(bytes - buffer_.size(), data->size());
  buffer_.append(reinterpret_cast<const char*>(data->data()), count);
  *data = data->subspan(count);
  return buffer_.size() == bytes;
}

Result<> TarReader::Feed(Bytes data) {
  while (!data.empty()) {
    if (auto result = Step(&data); !result) return result;
  }
  return {};
}

Result<> TarReader::Finish() {
  if (state_ == State::kEnd || state_ == State::kSecondZero) return {};
  // Neither what fills up the last block nor the end: umoci's `insert` writes layers like that, and
  // what is written in Go reads them.
  const bool whole = (state_ == State::kHeader && buffer_.empty()) || state_ == State::kPadding;
  if (whole && extensions_ == 0) return {};
  return Bad("the archive is cut off");
}

Result<> TarReader::Step(Bytes* data) {
  switch (state_) {
    case State::kHeader:
      return Gather(data, kTarBlock) ? Header() : Result<>();
    case State::kSecondZero: {
      if (!Gather(data, kTarBlock)) return {};
      const bool zero = buffer_.find_first_not_of('\0') == std::string::npos;
      buffer_.clear();
      if (!zero) return Bad("one block of zeros between two entries");
      state_ = State::kEnd;
      return {};
    }
    case State::kExtension:
      return Gather(data, extension_bytes_) ? EndExtension() : Result<>();
    case State::kSparseBlock:
      return Gather(data, kTarBlock) ? SparseBlock() : Result<>();
    case State::kSparseText:
      return Gather(data, kTarBlock) ? SparseText() : Result<>();
    case State::kContent:
      return Content(data);
    case State::kPadding: {
      const size_t count = std::min<uint64_t>(padding_left_, data->size());
      padding_left_ -= count;
      *data = data->subspan(count);
      if (padding_left_ == 0) state_ = State::kHeader;
      return {};
    }
    case State::kEnd:
      *data = {};
      return {};
  }
  return {};
}

Result<> TarReader::Header() {
  uint8_t block[kTarBlock];
  memcpy(block, buffer_.data(), sizeof block);
  buffer_.clear();
  const TarHeader header(block);
  if (header.IsZero()) {
    if (extensions_ != 0) return Bad("an extended header without an entry");
    state_ = State::kSecondZero;
    return {};
  }
  if (!header.HasRightSum()) return Bad("a header whose checksum is wrong");
  const auto size = header.size();
  if (!size || *size < 0) return Bad("a size that is none");

  switch (header.type()) {
    case 'x':
    case 'X':  // Solaris, before there was a standard
    case 'g':
    case 'L':
    case 'K':
      return Special(header.type(), *size);
    default:
      return Ordinary(header, *size);
  }
}

Result<> TarReader::Special(char type, int64_t size) {
  if (++extensions_ > kMostExtensions) return Bad("too many extended headers before one entry");
  if (static_cast<uint64_t>(size) > kMostExtensionBytes) {
    return Bad("an extended header of " + std::to_string(size) + " bytes");
  }
  extension_type_ = type;
  extension_bytes_ = static_cast<size_t>(size);
  padding_left_ = -static_cast<uint64_t>(size) % kTarBlock;
  state_ = State::kExtension;
  return size == 0 ? EndExtension() : Result<>();
}

Result<> TarReader::EndExtension() {
  const std::string body = std::exchange(buffer_, {});
  state_ = padding_left_ != 0 ? State::kPadding : State::kHeader;
  std::optional<std::string> wrong;
  switch (extension_type_) {
    case 'L':
      long_path_ = body.c_str();
      return {};
    case 'K':
      long_link_ = body.c_str();
      return {};
    case 'g':
      --extensions_;  // not of one entry; bounded by its own count
      global_bytes_ += body.size() + kTarBlock;
      if (global_bytes_ > kMostExtensionBytes) return Bad("too many global headers");
      wrong = ParsePax(body, &global_);
      // No sense in these for more than one file.
      global_.sparse_major = global_.sparse_minor = global_.sparse_pieces = std::nullopt;
      global_.sparse_size = global_.sparse_offset = std::nullopt;
      global_.sparse_path.reset();
      global_.sparse_map = {};
      break;
    default:
      pax_ = global_;
      wrong = ParsePax(body, &*pax_);
  }
  return wrong ? Bad(std::move(*wrong)) : Result<>();
}

Result<> TarReader::Ordinary(const TarHeader& header, int64_t size) {
  if (!pax_) pax_ = global_;
  stored_ = pax_->size.value_or(static_cast<uint64_t>(size));
  sparse_.reset();
  sparse_text_.reset();
  piece_ = 0;
  piece_done_ = 0;
  is_told_ = true;

  char type = header.type();
  // A GNU volume's name; nothing to make.
  if (type == 'V') {
    stored_ = 0;
    is_told_ = false;
    return BeginEntry();
  }
  if (auto filled = FillEntry(header, type); !filled) return filled;
  if (type == '\0' || type == '7') type = '0';
  if (type == '0' && header.type() == '\0' && entry_.path.ends_with('/')) type = '5';
  switch (type) {
    case '0':
      entry_.type = EntryType::kFile;
      if (auto sparse = PaxSparse(); !sparse) return sparse;
      if (state_ == State::kSparseText) return {};
      return BeginEntry();
    case 'S':
      entry_.type = EntryType::kFile;
      return OldSparse(header);
    case 'D':  // GNU's folder with its listing, which is skipped as content
      entry_.type = EntryType::kFolder;
      return BeginEntry();
    case '1':
      entry_.type = EntryType::kHardLink;
      break;
    case '2':
      entry_.type = EntryType::kSymbolicLink;
      break;
    case '3':
      entry_.type = EntryType::kCharacterDevice;
      break;
    case '4':
      entry_.type = EntryType::kBlockDevice;
      break;
    case '5':
      entry_.type = EntryType::kFolder;
      break;
    case '6':
      entry_.type = EntryType::kFifo;
      break;
    default:
      detail_ = "an entry of type " + Printable(type);
      return Fail(Step::kUnpackTar, EOPNOTSUPP);
  }
  stored_ = 0;
  return BeginEntry();
}

Result<> TarReader::FillEntry(const TarHeader& header, char type) {
  entry_.path.clear();
  if (long_path_) {
    entry_.path = std::move(*long_path_);
  } else if (pax_->path) {
    entry_.path = std::move(*pax_->path);
  } else {
    if (!header.prefix().empty()) entry_.path.append(header.prefix()).append("/");
    entry_.path += header.name();
  }
  if (pax_->sparse_path && type != 'S') entry_.path = std::move(*pax_->sparse_path);
  entry_.link = long_link_   ? std::move(*long_link_)
                : pax_->link ? std::move(*pax_->link)
                             : std::string(header.link());
  return Attributes(header);
}

Result<> TarReader::Attributes(const TarHeader& header) {
  const auto mode = header.mode();
  if (!mode || *mode < 0) return Bad("a mode that is none");
  entry_.mode = static_cast<mode_t>(*mode & 07777);

  // A number in the header that does not matter may be what it likes.
  const auto id = [](const std::optional<uint64_t>& said, const std::optional<int64_t>& field) {
    if (said) return *said;
    return field && *field >= 0 ? static_cast<uint64_t>(*field) : ~uint64_t{0};
  };
  const uint64_t uid = id(pax_->uid, header.uid());
  const uint64_t gid = id(pax_->gid, header.gid());
  if (!IsId(uid) || !IsId(gid)) return Bad("an owner that is none");
  entry_.uid = static_cast<uint32_t>(uid);
  entry_.gid = static_cast<uint32_t>(gid);

  if (pax_->mtime) {
    entry_.mtime = *pax_->mtime;
  } else {
    const auto mtime = header.mtime();
    if (!mtime) return Bad("a time that is none");
    entry_.mtime = {.tv_sec = static_cast<time_t>(*mtime), .tv_nsec = 0};
  }
  entry_.xattrs = std::move(pax_->xattrs);
  entry_.size = 0;

  entry_.major = entry_.minor = 0;
  if (header.type() != '3' && header.type() != '4') return {};
  const auto major = header.major();
  const auto minor = header.minor();
  if (!major || !minor || *major < 0 || *minor < 0 || *major > UINT32_MAX || *minor > UINT32_MAX) {
    return Bad("a device that is none");
  }
  entry_.major = static_cast<uint32_t>(*major);
  entry_.minor = static_cast<uint32_t>(*minor);
  return {};
}

Result<> TarReader::PaxSparse() {
  entry_.size = stored_;
  const bool has_map = pax_->sparse_pieces.has_value() || !pax_->sparse_map.pieces().empty();
  if (!pax_->sparse_major && !has_map) return {};
  if (!pax_->sparse_size) return Bad("a sparse file without its size");
  entry_.size = *pax_->sparse_size;
  if (pax_->sparse_major.value_or(0) == 0) {
    if (pax_->sparse_offset) return Bad("a sparse map with half a piece");
    sparse_ = std::move(pax_->sparse_map);
    return {};
  }
  if (*pax_->sparse_major != 1 || pax_->sparse_minor.value_or(0) != 0) {
    detail_ = "a sparse file of format " + std::to_string(*pax_->sparse_major);
    return Fail(Step::kUnpackTar, EOPNOTSUPP);
  }
  sparse_text_.emplace();
  state_ = State::kSparseText;
  return {};
}

Result<> TarReader::OldSparse(const TarHeader& header) {
  const auto real_size = header.real_size();
  if (!real_size || *real_size < 0) return Bad("a sparse file without its size");
  entry_.size = static_cast<uint64_t>(*real_size);
  sparse_.emplace();
  for (size_t i = 0; i < TarHeader::kPiecesInHeader; ++i) {
    const auto piece = header.piece(i);
    if (!piece) break;
    if (auto added = AddPiece(*piece); !added) return added;
  }
  if (!header.has_extension()) return BeginEntry();
  state_ = State::kSparseBlock;
  return {};
}

Result<> TarReader::AddPiece(const TarHeader::Piece& piece) {
  if (!piece.offset || !piece.bytes || *piece.offset < 0 || *piece.bytes < 0 ||
      !sparse_->Add(static_cast<uint64_t>(*piece.offset), static_cast<uint64_t>(*piece.bytes))) {
    return Bad("a sparse map that is none");
  }
  return {};
}

Result<> TarReader::SparseBlock() {
  uint8_t block[kTarBlock];
  memcpy(block, buffer_.data(), sizeof block);
  buffer_.clear();
  const TarHeader extension(block);
  for (size_t i = 0; i < TarHeader::kPiecesInExtension; ++i) {
    const auto piece = extension.extension_piece(i);
    if (!piece) break;
    if (auto added = AddPiece(*piece); !added) return added;
  }
  return extension.extension_goes_on() ? Result<>() : BeginEntry();
}

Result<> TarReader::SparseText() {
  const std::string block = std::exchange(buffer_, {});
  if (stored_ < kTarBlock) return Bad("a sparse map longer than its file");
  stored_ -= kTarBlock;
  switch (sparse_text_->Add(block)) {
    case SparseMapText::State::kMore:
      return {};
    case SparseMapText::State::kBad:
      return Bad("a sparse map that is none");
    case SparseMapText::State::kWhole:
      break;
  }
  sparse_ = sparse_text_->Take();
  sparse_text_.reset();
  return BeginEntry();
}

Result<> TarReader::BeginEntry() {
  pax_.reset();
  long_path_.reset();
  long_link_.reset();
  extensions_ = 0;
  if (sparse_ && (sparse_->bytes() != stored_ || sparse_->end() > entry_.size)) {
    return Bad("a sparse map of another file");
  }
  stored_left_ = stored_;
  padding_left_ = -stored_ % kTarBlock;
  if (is_told_) {
    if (auto begun = sink_.Begin(entry_); !begun) return begun;
    if (entry_.type != EntryType::kFile) {
      if (auto ended = sink_.End(); !ended) return ended;
      is_told_ = false;
    }
  }
  if (stored_left_ == 0) return EndContent();
  state_ = State::kContent;
  return {};
}

Result<> TarReader::Content(Bytes* data) {
  const Bytes content = data->first(std::min<uint64_t>(stored_left_, data->size()));
  *data = data->subspan(content.size());
  const uint64_t offset = stored_ - stored_left_;
  stored_left_ -= content.size();
  if (is_told_ && !sparse_) {
    if (auto told = sink_.Data(offset, content); !told) return told;
  }
  if (is_told_ && sparse_) {
    for (Bytes rest = content; !rest.empty();) {
      const SparsePiece& piece = sparse_->pieces()[piece_];
      const Bytes part = rest.first(std::min<uint64_t>(piece.bytes - piece_done_, rest.size()));
      if (!part.empty()) {
        if (auto told = sink_.Data(piece.offset + piece_done_, part); !told) return told;
      }
      rest = rest.subspan(part.size());
      piece_done_ += part.size();
      if (piece_done_ == piece.bytes) {
        ++piece_;
        piece_done_ = 0;
      }
    }
  }
  return stored_left_ == 0 ? EndContent() : Result<>();
}

Result<> TarReader::EndContent() {
  state_ = padding_left_ != 0 ? State::kPadding : State::kHeader;
  return is_told_ ? sink_.End() : Result<>();
}

}  // namespace caisson::layer
