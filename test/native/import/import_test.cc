// zone: test
// Imports of folders that hold one of everything: against a second implementation of the canonical
// tar stream (canonical_tar.py), with a full disk, other mounts, one id, and a source that changes.

#include "supervisor/import.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/unique_fd.h"
#include "launch/check.h"
#include "plan/protocol.h"
#include "supervisor/canonical_tar.h"
#include "supervisor/sha256.h"

namespace {

using namespace caisson;
using protocol::Tag;

constexpr int kSkipped = 77;
std::string scripts;  // folder of this source file
std::string folder;   // of this test program, removed at its end

struct Imported {
  int status = -1;
  std::string digest;
  std::string detail;
  uint64_t step = 0;
  uint64_t error = 0;
  uint64_t bytes = 0;
  uint64_t tar_bytes = 0;
};

Imported Import(const std::string& source, const std::string& target, int tar_fd = -1) {
  const size_t slash = target.rfind('/');
  const UniqueFd source_fd(open(source.c_str(), O_PATH | O_CLOEXEC));
  const UniqueFd parent(open(target.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int report[2];
  CHECK_OK(pipe2(report, O_CLOEXEC));
  Imported result;
  result.status =
      RunImportAndTar(source_fd.get(), parent.get(), target.c_str() + slash + 1, report[1], tar_fd);
  uint8_t body[4096];
  const ssize_t bytes = read(report[0], body, sizeof body);
  CHECK(bytes > 0);
  (void)close(report[0]);
  (void)close(report[1]);
  FieldReader reader({body, static_cast<size_t>(bytes)});
  for (Field field; reader.Next(&field);) {
    std::string_view text;
    switch (static_cast<Tag>(field.tag)) {
      case Tag::kImportResult:
        CHECK(field.ReadString(&text));
        result.digest = text;
        break;
      case Tag::kDetail:
        CHECK(field.ReadString(&text));
        result.detail = text;
        break;
      case Tag::kStep:
        CHECK(field.ReadU64(&result.step));
        break;
      case Tag::kErrno:
        CHECK(field.ReadU64(&result.error));
        break;
      case Tag::kImportBytes:
        CHECK(field.ReadU64(&result.bytes));
        break;
      case Tag::kImportTarBytes:
        CHECK(field.ReadU64(&result.tar_bytes));
        break;
      default:
        break;
    }
  }
  CHECK(reader.ok());
  return result;
}

std::string Path(const std::string& name) {
  return folder + "/" + name;
}

void MakeFile(const std::string& path, std::string_view text = "x") {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  CHECK(fd.valid());
  CHECK_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// What a program prints; empty when it cannot run or fails.
std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "re");
  CHECK(pipe != nullptr);
  std::string text;
  for (int c; (c = fgetc(pipe)) != EOF;) text.push_back(static_cast<char>(c));
  return pclose(pipe) == 0 ? text : std::string();
}

// By number: <sys/mount.h> is a header of ours here.
int Mount(const char* source, const char* target, const char* type, unsigned long flags,
          const char* data) {
  return static_cast<int>(syscall(SYS_mount, source, target, type, flags, data));
}

// Runs `test` in a child and requires that it ends well.
template <typename Test>
void InChild(Test test) {
  const pid_t pid = fork();
  CHECK_OK(pid);
  if (pid == 0) {
    test();
    _exit(0);
  }
  int status = -1;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
}

std::string Hash(const std::string& text, Sha256::Way way, size_t piece) {
  Sha256 sha(way);
  for (size_t at = 0; at < text.size(); at += piece) {
    sha.Update(text.data() + at, std::min(piece, text.size() - at));
  }
  return ToHex(sha.Finish());
}

void Sha256KnowsItsVectors() {
  const std::pair<std::string, const char*> vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1'000'000, 'a'),
       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
  for (const auto& [text, digest] : vectors) {
    for (const size_t piece : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1} << 20}) {
      CHECK_EQ(Hash(text, Sha256::Way::kFastest, piece), digest);
      CHECK_EQ(Hash(text, Sha256::Way::kPortable, piece), digest);
    }
  }
  std::string text;
  for (int length = 0; length < 300; ++length, text.push_back(static_cast<char>(length * 7))) {
    CHECK_EQ(Hash(text, Sha256::Way::kFastest, 1000), Hash(text, Sha256::Way::kPortable, 7));
  }
}

void HeadersAreCanonical() {
  TarEntry entry;
  entry.path = "a";
  entry.mode = S_IFREG | 04755;
  entry.uid = 1;
  entry.gid = 07777777;
  entry.size = 5;
  entry.mtime = {.tv_sec = 8, .tv_nsec = 0};
  std::string header = EncodeTarHeaders(entry);
  CHECK_EQ(header.size(), size_t{512});
  CHECK_EQ(header.substr(100, 48), std::string("0004755\0"
                                               "0000001\0"
                                               "7777777\0"
                                               "00000000005\0"
                                               "00000000010\0",
                                               48));
  CHECK_EQ(header.substr(154, 3), std::string("\0 0", 3));

  const std::vector<Xattr> xattrs = {{.name = "user.a=%", .value = std::string("\0\n", 2)}};
  entry.xattrs = &xattrs;
  entry.gid = 07777777 + 1;
  entry.mtime = {.tv_sec = -2, .tv_nsec = 500'000'000};
  header = EncodeTarHeaders(entry);
  CHECK_EQ(header.size(), size_t{3 * 512});
  CHECK_EQ(header.substr(512, 64), std::string("32 SCHILY.xattr.user.a%3D%25=\0\n\n"
                                               "15 gid=2097152\n"
                                               "14 mtime=-1.5\n\0\0\0",
                                               64));
}

void TreeEqualsTheSecondImplementation() {
  InChild([] {
    const std::string tree = Path("tree");
    CHECK_EQ(Output("python3 " + scripts + "/make_tree.py " + tree + " && echo ok"), "ok\n");
    const Imported result = Import(tree, Path("copy"));
    CHECK_EQ(result.detail, "");
    CHECK_EQ(result.status, 0);
    for (const std::string& of : {tree, Path("copy")}) {
      const std::string sum =
          Output("python3 " + scripts + "/canonical_tar.py " + of + " | sha256sum");
      CHECK_EQ("sha256:" + sum.substr(0, 64), result.digest);
    }
    // 128 MiB of holes stay holes, and are in the stream.
    struct stat status;
    CHECK_OK(stat(Path("copy/sparse").c_str(), &status));
    CHECK_EQ(status.st_size, off_t{1} << 27);
    CHECK(status.st_blocks * 512 < 1 << 20);
    CHECK(result.tar_bytes > uint64_t{1} << 27);
  });
}

// What the bootstrap does for an ordinary user. False: there are no user namespaces here.
bool EnterOneIdNamespace() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  MakeFile("/proc/self/setgroups", "deny");
  MakeFile("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  MakeFile("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  return true;
}

void OneIdGivesEverythingToRoot() {
  InChild([] {
    const std::string place = Path("one-id");
    CHECK_OK(mkdir(place.c_str(), 0777));
    CHECK_OK(chmod(place.c_str(), 0777));
    CHECK_OK(mkdir((place + "/source").c_str(), 0755));
    MakeFile(place + "/source/of-root");
    CHECK_OK(mknod((place + "/source/null").c_str(), S_IFCHR | 0666, makedev(1, 3)));
    constexpr uid_t kNobody = 65534;
    CHECK_OK(chown((place + "/source").c_str(), kNobody, kNobody));
    CHECK_OK(setgroups(0, nullptr));
    CHECK_OK(setresgid(kNobody, kNobody, kNobody));
    CHECK_OK(setresuid(kNobody, kNobody, kNobody));
    CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
    MakeFile(place + "/source/mine");
    if (!EnterOneIdNamespace()) {
      printf("   (no user namespaces here)\n");
      return;
    }
    const Imported result = Import(place + "/source", place + "/copy");
    CHECK_EQ(result.detail, "");
    CHECK_EQ(result.status, 0);
    struct stat status;
    for (const char* name : {"/copy/mine", "/copy/of-root"}) {
      CHECK_OK(stat((place + name).c_str(), &status));
      CHECK_EQ(status.st_uid, uid_t{0});
      CHECK_EQ(status.st_gid, gid_t{0});
    }
    CHECK(access((place + "/copy/null").c_str(), F_OK) != 0);
  });
}

void OtherMountsAreNotFollowed() {
  InChild([] {
    CHECK_OK(unshare(CLONE_NEWNS));
    CHECK_OK(Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    const std::string source = Path("mounts");
    CHECK_OK(mkdir(source.c_str(), 0755));
    CHECK_OK(mkdir((source + "/folder").c_str(), 0755));
    MakeFile(source + "/file");
    CHECK_OK(Mount("tmpfs", (source + "/folder").c_str(), "tmpfs", 0, "mode=0751"));
    MakeFile(source + "/folder/secret", "secret");
    CHECK_OK(Mount((source + "/folder/secret").c_str(), (source + "/file").c_str(), nullptr,
                   MS_BIND, nullptr));
    const Imported result = Import(source, Path("mounts-copy"));
    CHECK_EQ(result.status, 0);
    CHECK_EQ(result.bytes, uint64_t{0});
    struct stat status;
    CHECK_OK(stat(Path("mounts-copy/folder").c_str(), &status));
    CHECK_EQ(status.st_mode & 07777, mode_t{0751});
    CHECK_OK(stat(Path("mounts-copy/file").c_str(), &status));
    CHECK_EQ(status.st_size, off_t{0});
    CHECK(access(Path("mounts-copy/folder/secret").c_str(), F_OK) != 0);
  });
}

void FullDiskIsSaid() {
  InChild([] {
    CHECK_OK(unshare(CLONE_NEWNS));
    CHECK_OK(Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    const std::string source = Path("large");
    CHECK_OK(mkdir(source.c_str(), 0755));
    CHECK_OK(mkdir((source + "/below").c_str(), 0755));
    MakeFile(source + "/below/file", std::string(300'000, 'x'));
    CHECK_OK(mkdir(Path("small").c_str(), 0755));
    CHECK_OK(Mount("tmpfs", Path("small").c_str(), "tmpfs", 0, "size=128k"));
    const Imported result = Import(source, Path("small/copy"));
    CHECK_EQ(result.status, 1);
    CHECK_EQ(result.step, static_cast<uint64_t>(Step::kImportCopy));
    CHECK_EQ(result.error, uint64_t{ENOSPC});
    CHECK_EQ(result.detail, "below/file");
  });
}

void RefusalsSayWhere() {
  const std::string source = Path("refused");
  CHECK_OK(mkdir(source.c_str(), 0755));
  CHECK_OK(mkdir((source + "/sub").c_str(), 0755));
  MakeFile(source + "/sub/.wh.gone");
  Imported result = Import(source, Path("refused-copy"));
  CHECK_EQ(result.status, 1);
  CHECK_EQ(result.step, static_cast<uint64_t>(Step::kImportSource));
  CHECK_EQ(result.error, uint64_t{EINVAL});
  CHECK_EQ(result.detail, "sub/.wh.gone");

  result = Import(source, Path("refused-copy"));  // what the failure left is there
  CHECK_EQ(result.step, static_cast<uint64_t>(Step::kImportTarget));
  CHECK_EQ(result.error, uint64_t{EEXIST});

  result = Import(source + "/sub/.wh.gone", Path("from-a-file"));
  CHECK_EQ(result.step, static_cast<uint64_t>(Step::kImportSource));
  CHECK_EQ(result.error, uint64_t{ENOTDIR});
}

// The copy lies in the folder that is copied.
void ItsOwnTargetIsLeftOut() {
  const std::string source = Path("around");
  CHECK_OK(mkdir(source.c_str(), 0755));
  CHECK_OK(mkdir((source + "/layers").c_str(), 0755));
  MakeFile(source + "/file");
  const Imported result = Import(source, source + "/layers/copy");
  CHECK_EQ(result.status, 0);
  CHECK_OK(access((source + "/layers/copy/file").c_str(), F_OK));
  CHECK(access((source + "/layers/copy/layers/copy").c_str(), F_OK) != 0);
}

// Names change from file to folder to link while they are read: no failure, no link followed, and
// the digest is that of the copy.
void ChangingSourceIsTolerated() {
  InChild([] {
    // In memory: every import waits until its copy has reached the disk.
    const std::string place = Path("changing");
    CHECK_OK(mkdir(place.c_str(), 0755));
    CHECK_OK(unshare(CLONE_NEWNS));
    CHECK_OK(Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    CHECK_OK(Mount("tmpfs", place.c_str(), "tmpfs", 0, nullptr));
    const std::string source = place + "/source";
    CHECK_OK(mkdir(source.c_str(), 0755));
    const pid_t changer = fork();
    CHECK_OK(changer);
    if (changer == 0) {
      for (unsigned i = 0;; ++i) {
        const std::string name = source + "/" + std::to_string(i % 5);
        (void)unlink(name.c_str());
        (void)unlink((name + "/in").c_str());
        (void)rmdir(name.c_str());
        switch (i % 3) {
          case 0:
            (void)symlink("/etc/passwd", name.c_str());
            break;
          case 1:
            MakeFile(name, std::string(i % 20'000, 'c'));
            break;
          default:
            (void)mkdir(name.c_str(), 0755);
            MakeFile(name + "/in");
        }
      }
    }
    for (int i = 0; i < 100; ++i) {
      const std::string copy = place + "/" + std::to_string(i);
      const Imported result = Import(source, copy);
      if (result.status != 0) (void)kill(changer, SIGKILL);
      CHECK_EQ(result.detail, "");
      CHECK_EQ(result.status, 0);
      const Imported again = Import(copy, copy + "-again");
      if (again.digest != result.digest) (void)kill(changer, SIGKILL);
      CHECK_EQ(again.digest, result.digest);
    }
    CHECK_OK(kill(changer, SIGKILL));
    CHECK_EQ(waitpid(changer, nullptr, 0), changer);
  });
}

}  // namespace

int main() {
  if (Output("python3 -c 'print(1)'").empty() || Output("setfacl --version").empty()) {
    printf("needs python3 and setfacl (Debian: python3, acl)\n");
    return kSkipped;
  }
  const bool root = geteuid() == 0;
  // An ordinary user's imports happen there, all of them.
  if (!root && !EnterOneIdNamespace()) {
    printf("needs user namespaces, or root\n");
    return kSkipped;
  }
  // An import changes the working folder, which is the repository now.
  char* here = realpath("test/native/import", nullptr);
  CHECK(here != nullptr);
  scripts = here;
  free(here);
  char name[] = "/tmp/caisson-test-import-XXXXXX";
  CHECK(mkdtemp(name) != nullptr);
  CHECK_OK(chmod(name, 0755));
  folder = name;
  (void)umask(0022);
  RUN(Sha256KnowsItsVectors);
  RUN(HeadersAreCanonical);
  RUN(TreeEqualsTheSecondImplementation);
  if (root) RUN(OneIdGivesEverythingToRoot);
  RUN(OtherMountsAreNotFollowed);
  RUN(FullDiskIsSaid);
  RUN(RefusalsSayWhere);
  RUN(ItsOwnTargetIsLeftOut);
  RUN(ChangingSourceIsTolerated);
  CHECK_EQ(Output("chmod -R u+rwX " + folder + " 2>&1; rm -rf " + folder + " && echo ok"), "ok\n");
  return 0;
}
