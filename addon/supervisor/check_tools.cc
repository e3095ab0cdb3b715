// zone: native
// Programs and kernel parts that only some features use.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "supervisor/check_probe.h"

namespace caisson::check {
namespace {

// Searches where a distribution puts it, not PATH: what is found here is what would be started.
std::string FindProgram(const char* name) {
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/bin/", "/sbin/"}) {
    const std::string path = std::string(folder) + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

// The user's line of a file like /etc/subuid, by uid or by the name /etc/passwd gives it.
bool HasRange(const char* path, uid_t uid) {
  std::string name;
  for (const std::string& line : Lines(ReadFile("/etc/passwd", 4 << 20))) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    if (line.substr(second + 1, line.find(':', second + 1) - second - 1) == std::to_string(uid)) {
      name = line.substr(0, first);
      break;
    }
  }
  for (const std::string& line : Lines(ReadFile(path, 4 << 20))) {
    const size_t first = line.find(':');
    const std::string owner = line.substr(0, first);
    if (owner != std::to_string(uid) && (name.empty() || owner != name)) continue;
    unsigned id = 0;
    unsigned count = 0;
    if (sscanf(line.c_str() + owner.size(), ":%u:%u", &id, &count) == 2 && count > 0) return true;
  }
  return false;
}

Finding SubordinateIds(const Host& host) {
  for (const char* helper : {"newuidmap", "newgidmap"}) {
    const std::string path = FindProgram(helper);
    if (path.empty())
      return Fail("no-newuidmap", ENOENT,
                  std::string(helper) + " is not installed: containers have one id, root's");
    struct stat status = {};
    const bool setuid = stat(path.c_str(), &status) == 0 && (status.st_mode & S_ISUID) != 0;
    if (!setuid && getxattr(path.c_str(), "security.capability", nullptr, 0) <= 0) {
      return Fail("no-newuidmap", EPERM,
                  path + " has neither the setuid bit nor file capabilities");
    }
  }
  for (const char* file : {"/etc/subuid", "/etc/subgid"}) {
    if (!HasRange(file, host.uid))
      return Fail("no-sub-ids", 0, std::string(file) + " has no range for this user");
  }
  return Ok();
}

Finding Pasta(const Host& host) {
  (void)host;
  std::string program = FindProgram("pasta");
  if (program.empty()) program = FindProgram("slirp4netns");
  if (program.empty())
    return Fail(
        "no-pasta", ENOENT,
        "neither pasta nor slirp4netns is installed: no network for an ordinary user's containers");
  const UniqueFd tun(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun) return Fail("no-tun", errno, "/dev/net/tun cannot be opened");
  return Ok(program);
}

// Asks nf_tables, in a network namespace of the trial's own, for its generation.
Finding Nft(const Host& host) {
  return Try(host, Where::kInside, [&] {
    if (unshare(CLONE_NEWNET) != 0)
      return Fail("not-tried", 0, "not tried: there is no network namespace to try it in");
    const UniqueFd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!netlink) return Fail("kernel-config", errno, "the kernel has no netfilter netlink");
    struct {
      nlmsghdr header;
      nfgenmsg body;
    } request = {};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    if (send(netlink.get(), &request, sizeof request, 0) < 0)
      return Fail("refused", errno, "nf_tables cannot be asked");
    const timeval patience = {.tv_sec = 2, .tv_usec = 0};
    (void)setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    alignas(nlmsghdr) char answer[1024];
    const ssize_t bytes = recv(netlink.get(), answer, sizeof answer, 0);
    if (bytes < static_cast<ssize_t>(sizeof(nlmsghdr)))
      return Fail("refused", errno, "nf_tables does not answer");
    nlmsghdr header;
    memcpy(&header, answer, sizeof header);
    if (header.nlmsg_type != NLMSG_ERROR) return Ok();
    int error = 0;
    memcpy(&error, answer + sizeof header, sizeof error);
    return Fail("kernel-config", -error, "the kernel has no nf_tables");
  });
}

}  // namespace

std::vector<Item> ToolItems() {
  using enum Weight;
  return {
      {"subordinate-ids", SubordinateIds, kSkipped, kWanted},
      {"pasta", Pasta, kSkipped, kWanted},
      {"nft", Nft, kWanted, kWanted},
  };
}

}  // namespace caisson::check
