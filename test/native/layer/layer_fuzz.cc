// zone: test
// libFuzzer target: what a layer's blob may hold. The first byte chooses: the input is a tar
// archive, or a compressed stream, plain to the tar reader from there on; the second how it is cut
// into pieces. Whatever comes in, nothing is read outside of it, memory stays small, and what the
// reader tells keeps the contract of tar_entry.h, however the input was cut. Seeds: corpus/
// (make_corpus.py), and in found.tar.gz what long runs have found that leads further: after one,
// run layer_fuzz with -set_cover_merge=1 and an empty folder, corpus/ and its own corpus, and pack
// that.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "layer/decompressor.h"
#include "layer/layer_path.h"
#include "layer/tar_reader.h"

namespace {

using namespace caisson;
using namespace caisson::layer;

void Require(bool condition) {
  if (!condition) abort();
}

// Checks the order of calls and what they say, and keeps a digest of it all.
class Judge final : public EntrySink {
 public:
  Result<> Begin(const Entry& entry) override {
    Require(!within_);
    within_ = true;
    size_ = entry.size;
    end_ = 0;
    is_file_ = entry.type == EntryType::kFile;
    Require(is_file_ || size_ == 0);
    Require(entry.mode <= 07777 && entry.uid != ~0u && entry.gid != ~0u);
    Require(entry.mtime.tv_nsec >= 0 && entry.mtime.tv_nsec < 1'000'000'000);
    Require(entry.path.find('\0') == std::string::npos &&
            entry.link.find('\0') == std::string::npos);
    for (const Xattr& xattr : entry.xattrs) {
      Require(!xattr.name.empty() && xattr.name.find('\0') == std::string::npos);
      Say(xattr.name);
      Say(xattr.value);
    }
    if (const auto clean = CleanPath(entry.path)) {
      Require(!clean->starts_with('/') && !clean->ends_with('/'));
      Require(("/" + *clean + "/").find("/../") == std::string::npos);
      Require(*CleanPath(*clean) == *clean);
      (void)MeaningOf(*clean);
    }
    Say(entry.path);
    Say(entry.link);
    Say(std::to_string(entry.size) + std::to_string(entry.mode) + std::to_string(entry.uid));
    return {};
  }
  Result<> Data(uint64_t offset, Bytes data) override {
    Require(within_ && is_file_ && offset >= end_ && !data.empty());
    Require(data.size() <= size_ && offset <= size_ - data.size());
    end_ = offset + data.size();
    for (const uint8_t byte : data) Add(byte);
    return {};
  }
  Result<> End() override {
    Require(within_);
    within_ = false;
    Say("end");
    return {};
  }
  [[nodiscard]] uint64_t said() const { return said_; }

 private:
  void Add(uint8_t byte) { said_ = (said_ ^ byte) * 0x100000001b3; }
  void Say(const std::string& text) {
    for (const char c : text) Add(static_cast<uint8_t>(c));
    Add(0);
  }
  bool within_ = false;
  bool is_file_ = false;
  uint64_t size_ = 0;
  uint64_t end_ = 0;
  uint64_t said_ = 0xcbf29ce484222325;
};

struct Read {
  bool ok = false;
  uint64_t said = 0;
};

Read ReadTar(Bytes input, size_t piece) {
  Judge judge;
  TarReader reader(judge);
  Result<> result;
  for (Bytes rest = input; result && !rest.empty();) {
    const size_t bytes = std::min(piece, rest.size());
    result = reader.Feed(rest.first(bytes));
    rest = rest.subspan(bytes);
  }
  if (result) result = reader.Finish();
  if (!result) {
    Require(result.error().step == Step::kUnpackTar && !reader.detail().empty());
  }
  return {.ok = result.has_value(), .said = judge.said()};
}

// At most 1 MiB of what comes out.
std::vector<uint8_t> Decompress(Bytes input, size_t piece) {
  std::string detail;
  auto made = Decompressor::Make(CodecOf(input), &detail);
  if (!made) {
    Require(made.error().error == EOPNOTSUPP && !detail.empty());
    return {};
  }
  std::vector<uint8_t> out;
  std::vector<uint8_t> room(4096);
  for (Bytes in; out.size() < 1 << 20;) {
    auto bytes = (*made)->Decode(&in, room);
    if (!bytes) {
      Require(!(*made)->detail().empty());
      return out;
    }
    Require(*bytes <= room.size());
    out.insert(out.end(), room.begin(), room.begin() + static_cast<long>(*bytes));
    if (*bytes != 0) continue;
    Require(in.empty());
    if (input.empty()) {
      (void)(*made)->Finish();
      return out;
    }
    const size_t count = std::min(piece, input.size());
    in = input.first(count);
    input = input.subspan(count);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Bytes input(data + 2, size - 2);
  const size_t piece = size_t{1} + data[1] * size_t{data[1]};
  if ((data[0] & 1) != 0) {
    const std::vector<uint8_t> archive = Decompress(input, piece);
    (void)ReadTar(archive, 4096);
    return 0;
  }
  const Read whole = ReadTar(input, input.size());
  const Read cut = ReadTar(input, piece);
  Require(whole.ok == cut.ok);
  if (whole.ok) Require(whole.said == cut.said);
  return 0;
}
