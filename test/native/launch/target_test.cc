// zone: test
// Where a mount target is found or made in a hostile tree. No privileges.
#include "child/target.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "launch/check.h"

namespace caisson::test {
namespace {

using child::Links;
using child::TargetKind;

std::string outer;
int root_fd = -1;

// The path below the root that was reached ("made " before it if so), or the errno's name.
std::string Open(const std::string& path, TargetKind kind = TargetKind::kFolder,
                 Links links = Links::kFollow) {
  child::Target target;
  const int error = child::OpenTarget(root_fd, path.c_str(), kind, links, &target);
  if (error != 0) return strerrorname_np(error);
  const UniqueFd fd(target.fd);
  char text[4096] = {};
  CHECK_OK(readlink(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), text, sizeof text - 1));
  const std::string reached = text;
  const std::string root = outer + "/root";
  CHECK(reached == root || reached.starts_with(root + "/"));
  return (target.made ? "made " : "") + reached.substr(root.size());
}

void Link(const std::string& target, const std::string& path) {
  CHECK_OK(symlink(target.c_str(), (outer + "/root" + path).c_str()));
}

void MakesWhatIsMissing() {
  CHECK_EQ(Open("/a/b/c"), "made /a/b/c");
  CHECK_EQ(Open("/a/b/c"), "/a/b/c");
  CHECK_EQ(Open("//a//./b/d/"), "made /a/b/d");
  CHECK_EQ(Open("/a/file", TargetKind::kFile), "made /a/file");
  CHECK_EQ(Open("/a/file", TargetKind::kFile), "/a/file");
  CHECK_EQ(Open("/a/file"), "ENOTDIR");
  CHECK_EQ(Open("/a/file/below"), "ENOTDIR");
  CHECK_EQ(Open("/a/b", TargetKind::kFile), "EISDIR");
}

void StaysInside() {
  Link("/", "/slash");
  Link("../../../../../..", "/up");
  Link(outer, "/host");
  Link("/proc/self/fd", "/magic");
  CHECK_EQ(Open("/slash/one"), "made /one");
  CHECK_EQ(Open("/up/two"), "made /two");
  CHECK_EQ(Open("/host/three"), "made " + outer + "/three");
  CHECK_EQ(Open("/a/../../../four"), "made /four");
  CHECK(access((outer + "/three").c_str(), F_OK) != 0);
}

void FollowsDanglingLinks() {
  Link("/run/here/resolv.conf", "/dangling");
  Link("second", "/first");
  Link("../third/x", "/second");
  CHECK_EQ(Open("/dangling", TargetKind::kFile), "made /run/here/resolv.conf");
  CHECK_EQ(Open("/first/y"), "made /third/x/y");
  Link("loop-b", "/loop-a");
  Link("loop-a", "/loop-b");
  CHECK_EQ(Open("/loop-a/x"), "ELOOP");
  Link("dir/", "/trailing");
  CHECK_EQ(Open("/trailing"), "made /dir");
}

void RefusesLinksWhenTold() {
  CHECK_EQ(Open("/slash", TargetKind::kFolder, Links::kRefuse), "ELOOP");
  CHECK_EQ(Open("/slash/a", TargetKind::kFolder, Links::kRefuse), "ELOOP");
  Link("nowhere", "/to-nowhere");
  CHECK_EQ(Open("/to-nowhere", TargetKind::kFolder, Links::kRefuse), "ELOOP");
  CHECK_EQ(Open("/proc", TargetKind::kFolder, Links::kRefuse), "made /proc");
}

void RefusesWhatIsTooLong() {
  CHECK_EQ(Open("/" + std::string(300, 'x')), "ENAMETOOLONG");
  std::string deep;
  while (deep.size() < 5000) deep += "/x";
  CHECK_EQ(Open(deep), "ENAMETOOLONG");
  Link(std::string(4000, '/') + "a", "/long");
  CHECK_EQ(Open("/long/" + std::string(200, 'y')), "ENAMETOOLONG");
}

}  // namespace
}  // namespace caisson::test

int main() {
  using namespace caisson::test;
  char folder[] = "/tmp/caisson-target-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  outer = folder;
  CHECK_OK(mkdir((outer + "/root").c_str(), 0755));
  caisson::UniqueFd fd(open((outer + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  root_fd = fd.get();
  RUN(MakesWhatIsMissing);
  RUN(StaysInside);
  RUN(FollowsDanglingLinks);
  RUN(RefusesLinksWhenTold);
  RUN(RefusesWhatIsTooLong);
  return system(("rm -rf " + outer).c_str());
}
