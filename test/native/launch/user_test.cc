// zone: test
// Who a `user` string is, by passwd and group files of every kind. No privileges.
#include "child/user.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/unique_fd.h"
#include "launch/check.h"

namespace caisson::test {
namespace {

std::string root;
int root_fd = -1;

void Write(const std::string& path, const std::string& text) {
  std::ofstream file(root + path, std::ios::trunc);
  file << text;
}

// "uid:gid groups home", or the errno's name (with the position of the group at fault).
std::string Resolve(const std::string& user, const std::vector<std::string>& add = {}) {
  static child::UserIds ids;
  ids = {};
  std::vector<const char*> names;
  for (const auto& name : add) names.push_back(name.c_str());
  uint32_t failed = 0;
  const int error = child::ResolveUser(
      root_fd, user.c_str(), {names.data(), static_cast<uint32_t>(names.size())}, &ids, &failed);
  if (error != 0) {
    return std::string(strerrorname_np(error)) + (failed != 0 ? " " + std::to_string(failed) : "");
  }
  std::string text = std::to_string(ids.uid) + ":" + std::to_string(ids.gid) + " ";
  for (uint32_t i = 0; i < ids.group_count; ++i) {
    text += (i == 0 ? "" : ",") + std::to_string(ids.groups[i]);
  }
  return text + " " + ids.home;
}

void Reset() {
  Write("/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n"
        "\n# a comment\nbroken:x:abc:0::/:/bin/sh\nshort:x\n"
        "wrapped:x:4294967296:0::/home/wrapped:/bin/sh\n"
        "minus:x:-1:0::/home/minus:/bin/sh\n"
        "1000:x:0:0::/forged:/bin/sh\n"
        "alice:x:1000:1001::/home/alice:/bin/sh\n"
        "alice:x:6:6::/second:/bin/sh\n"
        "homeless:x:1005:1005");
  Write("/etc/group",
        "root:x:0:\nalice:x:1001:\nwheel:x:10:root,alice\naudio:x:29:alice,root\n"
        "aliceish:x:30:alicex,xalice\nbad:x:nan:alice\n7:x:99:\nlast:x:50:alice");
}

void FollowsTheTable() {
  Reset();
  const struct {
    const char* user;
    const char* expected;
  } kTable[] = {
      {"", "0:0 0,10,29 /root"},
      {"0", "0:0 0,10,29 /root"},
      {"root", "0:0 0,10,29 /root"},
      {"alice", "1000:1001 1001,10,29,50 /home/alice"},
      // A number is a number even if somebody is called so.
      {"1000", "1000:1001 1001,10,29,50 /home/alice"},
      {"00001000", "1000:1001 1001,10,29,50 /home/alice"},
      {"7", "7:0 0 "},
      {"4294967294", "4294967294:0 0 "},
      {"4294967295", "EINVAL"},
      {"4294967296", "EINVAL"},
      {"18446744073709551616", "EINVAL"},
      {"99999999999999999999999999999999", "EINVAL"},
      {"-1", "ENOENT"},
      {"+1", "ENOENT"},
      {" 1", "ENOENT"},
      {"0x0", "ENOENT"},
      {"1\n", "ENOENT"},
      {"wrapped", "ENOENT"},
      {"minus", "ENOENT"},
      {"broken", "ENOENT"},
      {"short", "ENOENT"},
      {"nobody", "ENOENT"},
      {"homeless", "1005:1005 1005 "},
      // A group that was asked for is the only one.
      {"alice:wheel", "1000:10 10 /home/alice"},
      {"alice:7", "1000:7 7 /home/alice"},
      {":wheel", "0:10 10 /root"},
      {"5:5", "5:5 5 "},
      {"alice:4294967295", "EINVAL"},
      {"alice:nogroup", "ENOENT"},
      {"alice:", "EINVAL"},
      {"alice:wheel:x", "ENOENT"},
      {"alice:bad", "ENOENT"},
  };
  for (const auto& row : kTable) {
    current_test = std::string("FollowsTheTable ") + row.user;
    CHECK_EQ(Resolve(row.user), row.expected);
  }
  CHECK_EQ(Resolve("alice", {"29", "77", "last"}), "1000:1001 1001,10,29,50,77 /home/alice");
  CHECK_EQ(Resolve("alice:wheel", {"audio"}), "1000:10 10,29 /home/alice");
  CHECK_EQ(Resolve("alice", {"audio", "nogroup"}), "ENOENT 2");
  CHECK_EQ(Resolve("alice", {"4294967295"}), "EINVAL 1");
}

void LivesWithoutFiles() {
  (void)unlink((root + "/etc/passwd").c_str());
  (void)unlink((root + "/etc/group").c_str());
  CHECK_EQ(Resolve(""), "0:0 0 ");
  CHECK_EQ(Resolve("12"), "12:0 0 ");
  CHECK_EQ(Resolve("12:13", {"14"}), "12:13 13,14 ");
  CHECK_EQ(Resolve("root"), "ENOENT");
}

void DoesNotWaitForOddFiles() {
  const std::string passwd = root + "/etc/passwd";
  (void)unlink(passwd.c_str());
  CHECK_OK(mkfifo(passwd.c_str(), 0644));
  CHECK_EQ(Resolve("alice"), "ENOENT");
  CHECK_EQ(Resolve("12"), "12:0 0 ");
  (void)unlink(passwd.c_str());
  CHECK_OK(mkdir(passwd.c_str(), 0755));
  CHECK_EQ(Resolve("alice"), "ENOENT");
  (void)rmdir(passwd.c_str());
  CHECK_OK(symlink("/dev/zero", passwd.c_str()));
  CHECK_EQ(Resolve("alice"), "ENOENT");
  // A link leads to where the root's own /etc/real is, not the host's.
  (void)unlink(passwd.c_str());
  CHECK_OK(symlink("/../../etc/real", passwd.c_str()));
  Write("/etc/real", "alice:x:3:3::/linked:/bin/sh\n");
  CHECK_EQ(Resolve("alice"), "3:3 3 /linked");
  (void)unlink(passwd.c_str());
}

void BoundsWhatItReads() {
  // A line that is too long is no entry, even where its tail looks like one.
  Write("/etc/passwd", std::string(40'000, 'x') + "\nalice:x:0:0::/:\n");
  CHECK_EQ(Resolve("alice"), "0:0 0 /");
  Write("/etc/passwd", std::string(32'768, 'x') + "alice:x:0:0::/:\nbob:x:2:2::/b:\n");
  CHECK_EQ(Resolve("alice"), "ENOENT");
  CHECK_EQ(Resolve("bob"), "2:2 2 /b");
  // At the very edges of the buffer.
  for (size_t length = 32'700; length < 32'800; ++length) {
    Write("/etc/passwd", std::string(length, 'x') + "\nbob:x:2:2::/b:\nalice:x:4:4::/:");
    CHECK_EQ(Resolve("bob"), "2:2 2 /b");
    CHECK_EQ(Resolve("alice"), "4:4 4 /");
  }
  // A sparse gigabyte, and an entry behind the bound.
  Write("/etc/passwd", "");
  CHECK_OK(truncate((root + "/etc/passwd").c_str(), 1 << 30));
  std::ofstream(root + "/etc/passwd", std::ios::app) << "\nalice:x:0:0::/:\n";
  CHECK_EQ(Resolve("alice"), "ENOENT");
  // A home that is too long, or has a NUL, is none.
  Write("/etc/passwd",
        "alice:x:4:4::" + std::string(5000, '/') + ":\n" + std::string("bob:x:5:5::/a\0b:\n", 17));
  CHECK_EQ(Resolve("alice"), "4:4 4 ");
  CHECK_EQ(Resolve("bob"), "5:5 5 ");
  // More groups than the kernel's tables are worth.
  std::string groups;
  for (int i = 0; i < 1100; ++i) {
    groups += "g" + std::to_string(i) + ":x:" + std::to_string(2000 + i) + ":alice\n";
  }
  Write("/etc/group", groups);
  CHECK_EQ(Resolve("alice"), "E2BIG");
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  char folder[] = "/tmp/caisson-user-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  root = folder;
  CHECK_OK(mkdir((root + "/etc").c_str(), 0755));
  caisson::UniqueFd fd(open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
  root_fd = fd.get();
  RUN(FollowsTheTable);
  RUN(LivesWithoutFiles);
  RUN(DoesNotWaitForOddFiles);
  RUN(BoundsWhatItReads);
  return system(("rm -rf " + root).c_str());
}
