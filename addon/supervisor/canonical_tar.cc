// zone: native
#include "supervisor/canonical_tar.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/retry_eintr.h"

namespace caisson {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kNameBytes = 100;
constexpr uint64_t kMaxOctal7 = 07777777;
constexpr uint64_t kMaxOctal11 = 077777777777;

struct UstarHeader {
  char name[kNameBytes];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link_name[kNameBytes];
  char magic[6];
  char version[2];
  char user[32];
  char group[32];
  char major[8];
  char minor[8];
  char prefix[155];
  char padding[12];
};
static_assert(sizeof(UstarHeader) == kBlock);

// Octal digits in all but the last byte, which stays NUL.
template <size_t N>
void PutOctal(char (&field)[N], uint64_t value) noexcept {
  for (size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
}

template <size_t N>
void PutText(char (&field)[N], std::string_view text) noexcept {
  if (!text.empty()) memcpy(field, text.data(), std::min(text.size(), N));
}

void AppendHeader(UstarHeader& header, std::string* out) {
  memcpy(header.magic, "ustar", 6);
  memcpy(header.version, "00", 2);
  memset(header.checksum, ' ', sizeof header.checksum);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  uint32_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += bytes[i];
  // Six digits, a NUL and the space that stands there already: what every tar writes.
  char digits[7] = {};
  PutOctal(digits, sum);
  memcpy(header.checksum, digits, sizeof digits);
  out->append(reinterpret_cast<const char*>(&header), kBlock);
}

using Records = std::vector<std::pair<std::string, std::string>>;

// "<length> <keyword>=<value>\n", where the length counts its own digits.
void AppendRecord(const std::string& keyword, std::string_view value, std::string* out) {
  const size_t rest = keyword.size() + value.size() + 3;
  size_t length = rest + 1;
  while (length != rest + std::to_string(length).size()) {
    length = rest + std::to_string(length).size();
  }
  out->append(std::to_string(length)).append(" ").append(keyword).append("=").append(value);
  out->push_back('\n');
}

std::string XattrKeyword(std::string_view name) {
  std::string keyword = "SCHILY.xattr.";
  for (const char c : name) {
    if (c == '%') {
      keyword += "%25";
    } else if (c == '=') {
      keyword += "%3D";
    } else {
      keyword += c;
    }
  }
  return keyword;
}

// timespec counts nanoseconds upwards from the second below, the text downwards from the sign.
std::string TimeText(const timespec& time) {
  int64_t seconds = time.tv_sec;
  int64_t nanoseconds = time.tv_nsec;
  std::string text;
  if (seconds < 0 && nanoseconds > 0) {
    seconds += 1;
    nanoseconds = 1'000'000'000 - nanoseconds;
    if (seconds == 0) text = "-";
  }
  text += std::to_string(seconds);
  if (nanoseconds == 0) return text;
  const std::string digits = std::to_string(nanoseconds);
  text.append(".").append(9 - digits.size(), '0').append(digits);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

char TypeOf(const TarEntry& entry) noexcept {
  if (entry.hard_link == TarEntry::HardLink::kYes) return '1';
  if (S_ISLNK(entry.mode)) return '2';
  if (S_ISCHR(entry.mode)) return '3';
  if (S_ISBLK(entry.mode)) return '4';
  if (S_ISDIR(entry.mode)) return '5';
  if (S_ISFIFO(entry.mode)) return '6';
  return '0';
}

void AppendPaxHeader(Records records, std::string* out) {
  std::ranges::sort(records);
  std::string body;
  for (const auto& [keyword, value] : records) AppendRecord(keyword, value, &body);

  UstarHeader header = {};
  PutText(header.name, "././@PaxHeader");
  PutOctal(header.mode, 0644);
  PutOctal(header.uid, 0);
  PutOctal(header.gid, 0);
  PutOctal(header.size, body.size());
  PutOctal(header.mtime, 0);
  PutOctal(header.major, 0);
  PutOctal(header.minor, 0);
  header.type = 'x';
  AppendHeader(header, out);
  out->append(body).append((kBlock - body.size() % kBlock) % kBlock, '\0');
}

}  // namespace

std::string EncodeTarHeaders(const TarEntry& entry) {
  std::string path(entry.path.empty() ? "." : entry.path);
  if (S_ISDIR(entry.mode)) path += '/';
  const char type = TypeOf(entry);
  const uint64_t size = type == '0' ? entry.size : 0;
  const bool seconds_fit =
      entry.mtime.tv_sec >= 0 && static_cast<uint64_t>(entry.mtime.tv_sec) <= kMaxOctal11;

  Records records;
  if (path.size() > kNameBytes) records.emplace_back("path", path);
  if (entry.link_path.size() > kNameBytes) records.emplace_back("linkpath", entry.link_path);
  if (entry.uid > kMaxOctal7) records.emplace_back("uid", std::to_string(entry.uid));
  if (entry.gid > kMaxOctal7) records.emplace_back("gid", std::to_string(entry.gid));
  if (size > kMaxOctal11) records.emplace_back("size", std::to_string(size));
  if (!seconds_fit || entry.mtime.tv_nsec != 0) {
    records.emplace_back("mtime", TimeText(entry.mtime));
  }
  if (entry.xattrs != nullptr && type != '1') {
    for (const Xattr& xattr : *entry.xattrs) {
      records.emplace_back(XattrKeyword(xattr.name), xattr.value);
    }
  }

  std::string out;
  if (!records.empty()) AppendPaxHeader(std::move(records), &out);

  UstarHeader header = {};
  PutText(header.name, path);
  PutText(header.link_name, entry.link_path);
  PutOctal(header.mode, entry.mode & 07777);
  PutOctal(header.uid, entry.uid > kMaxOctal7 ? 0 : entry.uid);
  PutOctal(header.gid, entry.gid > kMaxOctal7 ? 0 : entry.gid);
  PutOctal(header.size, size > kMaxOctal11 ? 0 : size);
  PutOctal(header.mtime, seconds_fit ? static_cast<uint64_t>(entry.mtime.tv_sec) : 0);
  const bool device = type == '3' || type == '4';
  PutOctal(header.major, device ? major(entry.device) : 0);
  PutOctal(header.minor, device ? minor(entry.device) : 0);
  header.type = type;
  AppendHeader(header, &out);
  return out;
}

void CanonicalTar::Begin(const TarEntry& entry) {
  const std::string headers = EncodeTarHeaders(entry);
  Add(headers.data(), headers.size());
  content_ = 0;
}

void CanonicalTar::Data(const void* data, size_t bytes) {
  Add(data, bytes);
}

void CanonicalTar::Zeros(uint64_t bytes) {
  static constexpr uint8_t kZeros[16 * 1024] = {};
  while (bytes != 0) {
    const size_t part = std::min<uint64_t>(bytes, sizeof kZeros);
    Add(kZeros, part);
    bytes -= part;
  }
}

void CanonicalTar::End() {
  Zeros((kBlock - content_ % kBlock) % kBlock);
}

Sha256::Digest CanonicalTar::Finish() {
  Zeros(2 * kBlock);
  return sha_.Finish();
}

void CanonicalTar::Add(const void* data, size_t bytes) {
  content_ += bytes;
  bytes_ += bytes;
  sha_.Update(data, bytes);
  Copy(data, bytes);
}

void CanonicalTar::Copy(const void* data, size_t bytes) {
  const auto* at = static_cast<const uint8_t*>(data);
  while (copy_fd_ >= 0 && copy_error_ == 0 && bytes != 0) {
    const ssize_t written = RetryEintr([&] { return write(copy_fd_, at, bytes); });
    if (written < 0) {
      copy_error_ = errno;
      return;
    }
    at += written;
    bytes -= static_cast<size_t>(written);
  }
}

}  // namespace caisson
