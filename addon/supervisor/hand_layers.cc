// zone: native
#include "supervisor/hand_layers.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <functional>

#include "layer/settle.h"
#include "layer/unpack.h"
#include "supervisor/diff_plan.h"
#include "supervisor/export.h"
#include "supervisor/import.h"
#include "supervisor/kernel.h"
#include "supervisor/remove_tree.h"
#include "supervisor/worker.h"
#include "supervisor/worker_report.h"

namespace caisson {
namespace {

layer::OverlayXattrs OverlayOf(const launch::Host& host) {
  return host.rootless ? layer::OverlayXattrs::kUser : layer::OverlayXattrs::kTrusted;
}

// Says that the trees in this folder have nothing to do with one another (chattr(1), "T"): ext4
// puts each new one where there is most room, in place of one behind the other. There it also finds
// free inodes at once: those that were free a moment ago it passes over one by one, for minutes,
// which makes a new file take a millisecond where many were removed.
void SpreadTrees(int folder_fd) {
  long flags = 0;
  if (ioctl(folder_fd, FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_TOPDIR_FL) != 0) return;
  flags |= FS_TOPDIR_FL;
  (void)ioctl(folder_fd, FS_IOC_SETFLAGS, &flags);  // Others have no such thing, nor need of it.
}

// The folder that a new layer is made in, itself made where it is missing, and its name there.
struct Parent {
  UniqueFd fd;
  std::string name;
};
Result<Parent> ParentOf(const launch::Host& host, const std::string& path, Step step) {
  const size_t slash = path.rfind('/');
  auto fd = OpenStoreFolder(host.store.get(), path.substr(0, slash), Missing::kCreate, step);
  if (!fd) return std::unexpected(fd.error());
  SpreadTrees(fd->get());
  return Parent{.fd = std::move(*fd), .name = path.substr(slash + 1)};
}

// `work` gets the descriptor that it reports to, which this end reads.
void Start(std::vector<int> keep, int root_fd, Step step,
           const std::function<int(int report_fd)>& work, Message* reply) {
  int pair[2];
  if (pipe2(pair, O_CLOEXEC) != 0) {
    reply->failure = {step, 0, errno, 0};
    return;
  }
  reply->fd(Role::kReport).reset(pair[0]);
  const UniqueFd report(pair[1]);
  keep.push_back(report.get());
  auto worker = ForkWorker(keep, root_fd, step, [&] { return work(report.get()); });
  if (!worker) {
    reply->failure = worker.error();
    return;
  }
  reply->pid = worker->pid;
  reply->fd(Role::kPidfd) = std::move(worker->pidfd);
}

}  // namespace

void StartImport(const launch::Host& host, Message& job, Message* reply) {
  auto parent = ParentOf(host, job.First(JobTag::kFolder), Step::kImportTarget);
  if (!parent) {
    reply->failure = parent.error();
    return;
  }
  const int source = job.fd(Role::kSource).get();
  const int target = parent->fd.get();
  Start(
      {source, target}, -1, Step::kImport,
      [&](int report) { return RunImport(source, target, parent->name.c_str(), report); }, reply);
}

void StartUnpack(const launch::Host& host, Message& job, Message* reply) {
  const auto plan = layer::ParseUnpack(job.body ? job.body->bytes() : Bytes{});
  if (!plan) {
    reply->failure = plan.error();
    return;
  }
  struct stat status;
  const int file = job.fd(Role::kSource).get();
  const int feed = job.fd(Role::kFeed).get();
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    reply->failure = {Step::kUnpack, 0, EBADF, 0};
    return;
  }
  auto parent = ParentOf(host, job.First(JobTag::kFolder), Step::kUnpackWrite);
  if (!parent) {
    reply->failure = parent.error();
    return;
  }
  UniqueFd folder;
  if (mkdirat(parent->fd.get(), parent->name.c_str(), 0700) == 0) {
    folder.reset(sys::OpenAt2(parent->fd.get(), parent->name.c_str(), O_PATH | O_DIRECTORY,
                              kernel::kBeneath));
  }
  if (!folder) {
    reply->failure = {Step::kUnpackWrite, 0, errno, 0};
    return;
  }
  std::vector<int> keep = {file};
  if (feed >= 0) keep.push_back(feed);
  Start(
      keep, folder.get(), Step::kUnpack,
      [&](int report) { return layer::RunUnpack(*plan, OverlayOf(host), file, feed, report); },
      reply);
}

void StartSync(const launch::Host& host, Message* reply) {
  constexpr Step kStep = Step::kUnpackWrite;
  auto store = OpenStoreFolder(host.store.get(), ".", Missing::kFail, kStep);
  if (!store) {
    reply->failure = store.error();
    return;
  }
  const int fd = store->get();
  const auto sync = [fd](int report) {
    // With delayed allocation a full disk may show only here.
    if (syncfs(fd) != 0) return ReportFailure(report, {kStep, 0, errno, 0}, {});
    return WriteReport(report, FieldWriter().U64(protocol::Tag::kErrno, 0));
  };
  Start({fd}, -1, kStep, sync, reply);
}

void StartExport(const launch::Host& host, Message& job, Message* reply) {
  const std::string layer = job.First(JobTag::kFolder);
  auto folder = OpenStoreFolder(host.store.get(), layer, Missing::kFail, Step::kExport);
  if (!folder) {
    reply->failure = folder.error();
    reply->text = layer;
    return;
  }
  Tree tree;
  tree.upper_fd = folder->get();
  tree.overlay = OverlayOf(host);
  const int target = job.fd(Role::kSource).get();
  Start(
      {tree.upper_fd, target}, -1, Step::kExport,
      [&](int report) { return RunExport(tree, protocol::DiffForm::kLayer, target, report); },
      reply);
}

void StartDiff(const launch::Host& host, Message& job, Message* reply) {
  auto plan = ParseDiff(job.body ? job.body->bytes() : Bytes{});
  if (!plan) {
    reply->failure = plan.error();
    return;
  }
  auto upper = OpenStoreFolder(host.store.get(), plan->upper, Missing::kFail, Step::kExport);
  if (!upper && upper.error().error != ENOENT) {
    reply->failure = upper.error();
    return;
  }
  Result<UniqueFd> lower = std::move(job.fd(Role::kFolder));
  if (!plan->layers.empty()) lower = launch::MergeLayers(host, plan->layers, &reply->text);
  if (!lower) {
    reply->failure = lower.error();
    return;
  }
  Tree tree;
  tree.upper_fd = upper ? upper->get() : -1;
  tree.lower_fd = lower->get();
  tree.overlay = OverlayOf(host);
  tree.ids = std::move(plan->ids);
  tree.mount_points = std::move(plan->mount_points);
  const protocol::DiffForm form = plan->form;
  const int target = job.fd(Role::kSource).get();
  std::vector<int> keep = {tree.lower_fd, target};
  if (upper) keep.push_back(tree.upper_fd);
  Start(
      keep, -1, Step::kExport, [&](int report) { return RunExport(tree, form, target, report); },
      reply);
}

void PublishLayer(const launch::Host& host, Message& job, Message* reply) {
  const std::string target = job.First(JobTag::kTarget);
  const size_t slash = target.rfind('/');
  UniqueFd parent;
  int parent_fd = host.store.get();
  if (slash != std::string::npos) {
    auto opened =
        OpenStoreFolder(parent_fd, target.substr(0, slash), Missing::kCreate, Step::kImportTarget);
    if (!opened) {
      reply->failure = opened.error();
      return;
    }
    parent = std::move(*opened);
    parent_fd = parent.get();
  }
  const std::string name = slash == std::string::npos ? target : target.substr(slash + 1);
  constexpr unsigned kNoReplace = 1;
  if (syscall(SYS_renameat2, host.store.get(), job.First(JobTag::kFolder).c_str(), parent_fd,
              name.c_str(), kNoReplace) != 0) {
    reply->failure = {Step::kImportTarget, 0, errno, 0};
    return;
  }
  // The layer itself has reached the disk; now its name.
  if (parent) (void)fsync(parent.get());
}

void SettleLayer(const launch::Host& host, Message& job, Message* reply) {
  const auto open = [&](const std::string& path) {
    return OpenStoreFolder(host.store.get(), path, Missing::kFail, Step::kSettle);
  };
  const std::string target = job.First(JobTag::kTarget);
  reply->text = target;
  auto folder = open(target);
  std::vector<UniqueFd> lower;
  std::vector<int> lower_fds;
  for (const std::string& path : job.All(JobTag::kLayer)) {
    if (!folder) break;
    auto opened = open(path);
    if (!opened) {
      reply->text = path;
      folder = std::unexpected(opened.error());
      break;
    }
    lower_fds.push_back(opened->get());
    lower.push_back(std::move(*opened));
  }
  if (!folder) {
    reply->failure = folder.error();
    return;
  }
  const auto settled = layer::Settle(folder->get(), lower_fds, OverlayOf(host));
  if (!settled) reply->failure = settled.error();
}

}  // namespace caisson
