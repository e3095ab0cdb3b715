// zone: native
#include "layer/pax.h"

#include <algorithm>
#include <utility>

namespace caisson::layer {
namespace {

constexpr std::string_view kXattr = "SCHILY.xattr.";
// More than a file can have: their names together are at most 64 KiB.
constexpr size_t kMostXattrs = 1024;

// "%25" and "%3D" stand for "%" and "=", as GNU tar writes them.
std::string XattrName(std::string_view keyword) {
  std::string name;
  for (size_t at = 0; at < keyword.size(); ++at) {
    const std::string_view rest = keyword.substr(at);
    if (rest.starts_with("%25")) {
      name += '%';
      at += 2;
    } else if (rest.starts_with("%3D")) {
      name += '=';
      at += 2;
    } else {
      name += rest.front();
    }
  }
  return name;
}

// Seconds with a fraction, maybe negative. timespec counts nanoseconds upwards from the second
// below.
std::optional<timespec> ParseTime(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t point = text.find('.');
  const auto seconds = ParseDecimal(text.substr(0, point));
  if (!seconds) return std::nullopt;
  long nanoseconds = 0;
  if (point != std::string_view::npos) {
    const std::string_view fraction = text.substr(point + 1);
    for (size_t i = 0; i < std::max<size_t>(fraction.size(), 9); ++i) {
      const char digit = i < fraction.size() ? fraction[i] : '0';
      if (digit < '0' || digit > '9') return std::nullopt;
      if (i < 9) nanoseconds = nanoseconds * 10 + (digit - '0');
    }
  }
  timespec time = {.tv_sec = static_cast<time_t>(*seconds), .tv_nsec = nanoseconds};
  if (negative) {
    time.tv_sec = -time.tv_sec;
    if (nanoseconds != 0) {
      time.tv_sec -= 1;
      time.tv_nsec = 1'000'000'000 - nanoseconds;
    }
  }
  return time;
}

class Parser {
 public:
  explicit Parser(PaxRecords* records) : records_(*records) {}

  // False: the value is none.
  bool Take(std::string_view keyword, std::string_view value) {
    if (keyword == "path") return Text(value, &records_.path);
    if (keyword == "linkpath") return Text(value, &records_.link);
    if (keyword == "uid") return Number(value, &records_.uid);
    if (keyword == "gid") return Number(value, &records_.gid);
    if (keyword == "size") return Number(value, &records_.size);
    if (keyword == "mtime") return Time(value);
    if (keyword.starts_with(kXattr)) return TakeXattr(keyword.substr(kXattr.size()), value);
    if (keyword.starts_with("GNU.sparse.")) return Sparse(keyword.substr(11), value);
    return true;
  }

 private:
  static bool Text(std::string_view value, std::optional<std::string>* to) {
    if (value.find('\0') != std::string_view::npos) return false;
    if (value.empty()) {
      to->reset();
    } else {
      *to = value;
    }
    return true;
  }

  static bool Number(std::string_view value, std::optional<uint64_t>* to) {
    *to = value.empty() ? std::nullopt : ParseDecimal(value);
    return value.empty() || to->has_value();
  }

  bool Time(std::string_view value) {
    records_.mtime = value.empty() ? std::nullopt : ParseTime(value);
    return value.empty() || records_.mtime.has_value();
  }

  bool TakeXattr(std::string_view keyword, std::string_view value) {
    std::string name = XattrName(keyword);
    if (name.empty() || name.find('\0') != std::string::npos) return false;
    auto& xattrs = records_.xattrs;
    const auto found = std::ranges::find(xattrs, name, &Xattr::name);
    if (found != xattrs.end()) {
      found->value = value;
    } else if (xattrs.size() == kMostXattrs) {
      return false;
    } else {
      xattrs.push_back({.name = std::move(name), .value = std::string(value)});
    }
    return true;
  }

  bool Sparse(std::string_view keyword, std::string_view value) {
    if (keyword == "major") return Number(value, &records_.sparse_major);
    if (keyword == "minor") return Number(value, &records_.sparse_minor);
    if (keyword == "name") return Text(value, &records_.sparse_path);
    if (keyword == "size" || keyword == "realsize") return Number(value, &records_.sparse_size);
    if (keyword == "numblocks") return Number(value, &records_.sparse_pieces);
    if (keyword == "map") {
      records_.sparse_map = {};
      return records_.sparse_map.AddList(value);
    }
    if (keyword == "offset") {
      return !records_.sparse_offset && Number(value, &records_.sparse_offset);
    }
    if (keyword == "numbytes") {
      std::optional<uint64_t> bytes;
      const auto offset = std::exchange(records_.sparse_offset, std::nullopt);
      return Number(value, &bytes) && bytes && offset && records_.sparse_map.Add(*offset, *bytes);
    }
    return true;
  }

  PaxRecords& records_;
};

}  // namespace

std::optional<std::string> ParsePax(std::string_view body, PaxRecords* records) {
  Parser parser(records);
  while (!body.empty()) {
    // "<length> <keyword>=<value>\n", where the length counts its own digits.
    const size_t space = body.substr(0, 20).find(' ');
    if (space == std::string_view::npos) return "a pax record without a length";
    const auto length = ParseDecimal(body.substr(0, space));
    if (!length || *length > body.size() || *length < space + 3 || body[*length - 1] != '\n') {
      return "a pax record of a wrong length";
    }
    const std::string_view record = body.substr(space + 1, *length - space - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return "a pax record without a keyword";
    const std::string_view keyword = record.substr(0, equals);
    if (!parser.Take(keyword, record.substr(equals + 1))) {
      return "the pax record " + std::string(keyword.substr(0, 100));
    }
    body.remove_prefix(*length);
  }
  return std::nullopt;
}

}  // namespace caisson::layer
