// zone: native
#include "supervisor/check.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "supervisor/check_probe.h"
#include "supervisor/remove_tree.h"

namespace caisson {
namespace {

using check::Finding;
using check::Host;
using check::Item;
using check::Verdict;

volatile sig_atomic_t asked_to_stop = 0;

void AskToStop(int) {
  asked_to_stop = 1;
}

// No SA_RESTART: a trial in progress is cut short, so that the scratch folders are still removed.
void StopOnRequest() {
  struct sigaction action = {};
  action.sa_handler = AskToStop;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) (void)sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_DFL;
  (void)sigaction(SIGCHLD, &action, nullptr);
  action.sa_handler = SIG_IGN;
  (void)sigaction(SIGPIPE, &action, nullptr);
}

// A folder to try things in, on the file system that `path` is or would be made on: in the nearest
// folder above it that exists. Empty when none can be made there.
std::string MakeScratchFolder(std::string path) {
  struct stat status;
  while (stat(path.c_str(), &status) != 0 && errno == ENOENT && path.size() > 1) {
    const size_t slash = path.find_last_of('/');
    path = slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
  }
  path += path.back() == '/' ? ".caisson-check-XXXXXX" : "/.caisson-check-XXXXXX";
  return mkdtemp(path.data()) == nullptr ? std::string() : path;
}

void RemoveScratchFolder(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const UniqueFd parent(open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  // Nothing to be told: what is left is empty or unreachable, and the next line of output would be
  // late.
  if (parent) (void)RemoveTree(parent.get(), path.substr(slash + 1));
}

// Tabs and line ends are the format's own.
void Print(const char* id, check::Weight weight, Finding finding) {
  if (finding.verdict == Verdict::kFail && weight == check::Weight::kWanted) {
    finding.verdict = Verdict::kNote;
  }
  for (char* c = finding.detail; *c != '\0'; ++c) {
    if (static_cast<unsigned char>(*c) < ' ') *c = ' ';
  }
  const char* verdict = finding.verdict == Verdict::kOk     ? "ok"
                        : finding.verdict == Verdict::kFail ? "fail"
                                                            : "note";
  (void)printf("%s\t%s\t%s\t%s\t%s\n", id, verdict, finding.cause[0] == '\0' ? "-" : finding.cause,
               check::ErrnoName(finding.error), finding.detail);
  (void)fflush(stdout);
}

bool ReadOptions(int argc, char** argv, Host* host) {
  const option options[] = {{"root", required_argument, nullptr, 'r'},
                            {"run", required_argument, nullptr, 'u'},
                            {"mode", required_argument, nullptr, 'm'},
                            {"cgroup-parent", required_argument, nullptr, 'c'},
                            {nullptr, 0, nullptr, 0}};
  host->rootless = geteuid() != 0;
  optind = 1;
  for (int letter; (letter = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    if (letter == 'r') {
      host->root = optarg;
    } else if (letter == 'u') {
      host->run = optarg;
    } else if (letter == 'c') {
      host->cgroup_parent = optarg;
    } else if (letter == 'm' && strcmp(optarg, "root") == 0) {
      host->rootless = false;
    } else if (letter == 'm' && strcmp(optarg, "rootless") == 0) {
      host->rootless = true;
    } else {
      return false;
    }
  }
  return optind == argc && host->root.starts_with('/') && host->run.starts_with('/') &&
         host->cgroup_parent.starts_with('/');
}

}  // namespace

int RunCheck(int argc, char** argv) {
  // What a copy of this program is started with, to see whether it can be started (memfd-exec).
  if (argc > 1 && strcmp(argv[argc - 1], "--from-copy") == 0) return check::RunFromCopy();

  Host host;
  if (!ReadOptions(argc - 1, argv + 1, &host)) {
    (void)fputs(
        "usage: caisson-supervisor check --root DIR --run DIR [--mode root|rootless]"
        " [--cgroup-parent PATH]\n",
        stderr);
    return 2;
  }
  StopOnRequest();
  host.uid = geteuid();
  host.gid = getegid();
  for (const std::string& line : check::Lines(check::ReadFile("/proc/self/status"))) {
    if (line.starts_with("Seccomp:")) host.filtered = line.find('2') != std::string::npos;
  }
  host.store_folder = MakeScratchFolder(host.root);
  host.run_folder = MakeScratchFolder(host.run);

  for (const auto& part : {check::KernelItems(), check::NamespaceItems(), check::StoreItems(),
                           check::CgroupItems(), check::ToolItems()}) {
    for (const Item& item : part) {
      if (asked_to_stop != 0) break;
      const check::Weight weight = host.rootless ? item.rootless : item.as_root;
      if (weight != check::Weight::kSkipped) Print(item.id, weight, item.run(host));
    }
  }
  for (const std::string& folder : {host.store_folder, host.run_folder}) {
    if (!folder.empty()) RemoveScratchFolder(folder);
  }
  return asked_to_stop != 0 ? 1 : 0;
}

}  // namespace caisson
