// zone: test
// The parts that make a layer of its archive, one by one: names, numbers, records, sparse maps, the
// reader on every seed of the fuzzer however it is cut, and the ring between two processes. What
// they make together is tested over the channel (unpack_test.py).

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "launch/check.h"
#include "layer/decompressor.h"
#include "layer/layer_path.h"
#include "layer/pax.h"
#include "layer/ring.h"
#include "layer/sparse_map.h"
#include "layer/tar_header.h"
#include "layer/tar_reader.h"

namespace {

using namespace caisson;
using namespace caisson::layer;
using namespace std::string_literals;

void PathsAreCleaned() {
  const std::pair<const char*, const char*> table[] = {
      {"", ""},
      {".", ""},
      {"/", ""},
      {"./", ""},
      {"a", "a"},
      {"/a", "a"},
      {"a/", "a"},
      {"//a///b//", "a/b"},
      {"./a/./b/.", "a/b"},
      {"a/../b", "b"},
      {"a/b/..", "a"},
      {"a/..", ""},
      {"...", "..."},
      {"a/..b", "a/..b"},
      {"..", nullptr},
      {"/..", nullptr},
      {"a/../..", nullptr},
      {"../a", nullptr},
      {"a/../../a", nullptr},
  };
  for (const auto& [path, clean] : table) {
    const auto found = CleanPath(path);
    CHECK_EQ(found.has_value(), clean != nullptr);
    if (found) CHECK_EQ(*found, std::string(clean));
  }
}

void NamesMeanWhatTheySay() {
  const std::pair<const char*, Meaning> table[] = {
      {"a", Meaning::kPlain},
      {"a.wh.", Meaning::kPlain},
      {".wh", Meaning::kPlain},
      {".wh.a", Meaning::kWhiteout},
      {"d/.wh.a", Meaning::kWhiteout},
      {"d/.wh.....", Meaning::kWhiteout},
      {".wh..wh..opq", Meaning::kOpaqueWhiteout},
      {"d/.wh..wh..opq", Meaning::kOpaqueWhiteout},
      {".wh..wh.aufs", Meaning::kIgnored},
      {".wh..wh.plnk/1", Meaning::kIgnored},
      {".wh.", Meaning::kNone},
      {".wh..", Meaning::kNone},
      {".wh...", Meaning::kNone},
      {".wh.a/b", Meaning::kNone},
      {"x/.wh.a/b/c", Meaning::kNone},
  };
  for (const auto& [path, meaning] : table) {
    CHECK_EQ(static_cast<int>(MeaningOf(path)), static_cast<int>(meaning));
  }
}

// The size field of a header.
std::optional<int64_t> Number(const std::string& field) {
  uint8_t block[kTarBlock] = {};
  memcpy(block + 124, field.data(), field.size());
  return TarHeader(block).size();
}

void NumbersOfHeaders() {
  const std::pair<std::string, std::optional<int64_t>> table[] = {
      {"", 0},
      {"0", 0},
      {"00000000017", 15},
      {"   17 \0"s, 15},
      {"17\0 \0"s, 15},
      {"777777777777", 0777777777777},
      {"18", std::nullopt},
      {"1 7", std::nullopt},
      {"-1", std::nullopt},
      {"0x10", std::nullopt},
      {"\x80\0\0\0\0\0\0\0\0\0\1\2"s, 258},
      {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"s, -2},
      {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"s, INT64_MAX},
      {"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0"s, INT64_MIN},
      {"\x80\0\0\0\x80\0\0\0\0\0\0\0"s, std::nullopt},
      {"\x80\0\0\1\0\0\0\0\0\0\0\0"s, std::nullopt},
      {"\x81\0\0\0\0\0\0\0\0\0\0\0"s, std::nullopt},
      {"\xff\xff\xff\xfe\x80\0\0\0\0\0\0\0"s, std::nullopt},
      {"\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0"s, std::nullopt},
  };
  for (const auto& [field, number] : table) {
    const auto found = Number(field);
    CHECK_EQ(found.has_value(), number.has_value());
    if (found) CHECK_EQ(*found, *number);
  }
}

std::string Record(const std::string& keyword, const std::string& value) {
  const size_t rest = keyword.size() + value.size() + 3;
  const size_t length = rest + std::to_string(rest + 2).size();
  return std::to_string(length) + " " + keyword + "=" + value + "\n";
}

void TimesOfPaxHeaders() {
  struct Row {
    const char* text;
    bool good;
    time_t seconds;
    long nanoseconds;
  };
  const Row table[] = {
      {"0", true, 0, 0},
      {"1.5", true, 1, 500'000'000},
      {"1.", true, 1, 0},
      {"1.123456789999", true, 1, 123'456'789},
      {"-1", true, -1, 0},
      {"-1.25", true, -2, 750'000'000},
      {"-0.5", true, -1, 500'000'000},
      {"x", false, 0, 0},
      {"1.5x", false, 0, 0},
      {"--1", false, 0, 0},
      {"1e5", false, 0, 0},
      {".5", false, 0, 0},
      {"1.0000000000x", false, 0, 0},
      {"9223372036854775808", false, 0, 0},
  };
  for (const Row& row : table) {
    PaxRecords records;
    const auto wrong = ParsePax(Record("mtime", row.text), &records);
    CHECK_EQ(!wrong.has_value(), row.good);
    if (wrong) continue;
    CHECK_EQ(records.mtime->tv_sec, row.seconds);
    CHECK_EQ(records.mtime->tv_nsec, row.nanoseconds);
  }
}

void ValuesOfPaxHeadersAreBinary() {
  PaxRecords records;
  const std::string value = "\0=\n12 path=x\n\xff"s;
  CHECK(!ParsePax(Record("SCHILY.xattr.user.a%3D%25%41", value) + Record("path", "p"), &records));
  CHECK_EQ(records.xattrs.size(), 1u);
  CHECK_EQ(records.xattrs[0].name, "user.a=%%41"s);
  CHECK(records.xattrs[0].value == value);
  CHECK_EQ(*records.path, "p"s);
  // A later one counts, and an empty one takes it away.
  CHECK(!ParsePax(Record("path", "q") + Record("uid", "7") + Record("uid", ""), &records));
  CHECK_EQ(*records.path, "q"s);
  CHECK(!records.uid);
}

void SparseMaps() {
  SparseMap map;
  CHECK(map.AddList("0,5,10,0,20,7"));
  CHECK_EQ(map.bytes(), 12u);
  CHECK_EQ(map.end(), 27u);
  for (const char* bad : {"1", "1,", ",1", "1,2,", "5,1,0,1", "0,5,4,1", "1,x",
                          "9223372036854775807,1", "-1,1", "1,2,3"}) {
    SparseMap none;
    CHECK(!none.AddList(bad));
  }
  // Cut anywhere.
  const std::string text = "2\n0\n10\n100\n5\n";
  for (size_t cut = 0; cut < text.size(); ++cut) {
    SparseMapText reader;
    CHECK(reader.Add(text.substr(0, cut)) == SparseMapText::State::kMore);
    CHECK(reader.Add(text.substr(cut) + std::string(20, '\0')) == SparseMapText::State::kWhole);
    CHECK_EQ(reader.Take().end(), 105u);
  }
}

// Everything that a reader tells, as text.
class Scribe final : public EntrySink {
 public:
  Result<> Begin(const Entry& entry) override {
    told += "begin " + entry.path + " -> " + entry.link + " " + std::to_string(entry.size) + " ";
    for (const Xattr& xattr : entry.xattrs) told += xattr.name + "=" + xattr.value + " ";
    return {};
  }
  Result<> Data(uint64_t offset, Bytes data) override {
    // Where a piece goes on, its parts are one.
    if (offset != end_) told += "@" + std::to_string(offset) + " ";
    end_ = offset + data.size();
    told.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }
  Result<> End() override {
    told += " end\n";
    end_ = ~uint64_t{0};
    return {};
  }
  std::string told;

 private:
  uint64_t end_ = ~uint64_t{0};
};

std::string ReadIn(std::string_view archive, size_t piece) {
  Scribe scribe;
  TarReader reader(scribe);
  Result<> result;
  for (size_t at = 0; result && at < archive.size(); at += piece) {
    const std::string_view part = archive.substr(at, piece);
    result = reader.Feed({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
  }
  if (result) result = reader.Finish();
  return scribe.told + (result ? "whole" : reader.detail());
}

void TheReaderTellsTheSameHoweverItIsFed() {
  const std::string folder = "test/native/layer/corpus";
  DIR* seeds = opendir(folder.c_str());
  CHECK(seeds != nullptr);
  int archives = 0;
  while (const dirent* seed = readdir(seeds)) {
    char content[8192];
    const UniqueFd file(open((folder + "/" + seed->d_name).c_str(), O_RDONLY | O_CLOEXEC));
    const ssize_t bytes = read(file.get(), content, sizeof content);
    if (bytes < 2 || content[0] != 0) continue;
    const std::string_view archive(content + 2, static_cast<size_t>(bytes) - 2);
    const std::string whole = ReadIn(archive, archive.size() + 1);
    for (const size_t piece : {1, 7, 511, 512, 513}) CHECK(ReadIn(archive, piece) == whole);
    ++archives;
  }
  (void)closedir(seeds);
  CHECK(archives > 10);
}

constexpr size_t kStream = 50 << 20;
uint8_t At(size_t position) {
  return static_cast<uint8_t>(position * 2654435761u >> 13);
}

// Forks a writer of `bytes` bytes, which then ends as `end` says.
pid_t Writer(Ring* ring, size_t bytes, void (*end)(Ring*)) {
  const pid_t pid = fork();
  CHECK_OK(pid);
  if (pid != 0) return pid;
  for (size_t done = 0; done < bytes;) {
    const auto room = ring->Room(std::min<size_t>(1 + done % 300'000, bytes - done));
    for (uint8_t& byte : room) byte = At(done++);
    ring->Publish(room.size());
  }
  end(ring);
  _exit(0);
}

size_t ReadAll(Ring* ring, pid_t writer) {
  size_t done = 0;
  for (;;) {
    const Bytes data = ring->Wait(writer, 1 + done % 500'000);
    if (data.empty()) return done;
    for (const uint8_t byte : data) CHECK(byte == At(done++));
    ring->Consume(data.size());
  }
}

void TheRingCarriesAll() {
  Ring ring;
  CHECK(ring.Open().has_value());
  const pid_t writer = Writer(&ring, kStream, [](Ring* to) {
    const uint8_t note[] = {1, 2, 3};
    to->End({Step::kUnpackDecode, 0, EBADMSG, 0}, note);
  });
  CHECK_EQ(ReadAll(&ring, writer), kStream);
  CHECK_EQ(ring.failure().error, EBADMSG);
  CHECK_EQ(ring.note().size(), 3u);
  CHECK_OK(waitpid(writer, nullptr, 0));
}

void AWriterThatDiesIsNoticed() {
  Ring ring;
  CHECK(ring.Open().has_value());
  const pid_t writer = Writer(&ring, 100'000, [](Ring*) { (void)raise(SIGKILL); });
  CHECK_EQ(ReadAll(&ring, writer), 100'000u);
  CHECK_EQ(ring.failure().error, ECHILD);
}

void CodecsByTheirFirstBytes() {
  const auto codec = [](std::string_view text) {
    return CodecOf({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  CHECK(codec("\x1f\x8b\x08") == Codec::kGzip);
  CHECK(codec("\x28\xb5\x2f\xfd") == Codec::kZstd);
  CHECK(codec("\x5f\x2a\x4d\x18") == Codec::kZstd);
  CHECK(codec("BZh9") == Codec::kBzip2);
  CHECK(codec("\xfd"
              "7zXZ\0"s) == Codec::kXz);
  for (const char* plain : {"", "\x1f", "\x28\xb5\x2f", "\x60\x2a\x4d\x18", "BZ", "./a"}) {
    CHECK(codec(plain) == Codec::kPlain);
  }
}

}  // namespace

int main() {
  RUN(PathsAreCleaned);
  RUN(NamesMeanWhatTheySay);
  RUN(NumbersOfHeaders);
  RUN(TimesOfPaxHeaders);
  RUN(ValuesOfPaxHeadersAreBinary);
  RUN(SparseMaps);
  RUN(TheReaderTellsTheSameHoweverItIsFed);
  RUN(TheRingCarriesAll);
  RUN(AWriterThatDiesIsNoticed);
  RUN(CodecsByTheirFirstBytes);
  return 0;
}
