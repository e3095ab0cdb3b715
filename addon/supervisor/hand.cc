// zone: native
#include "supervisor/hand.h"

#include <signal.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/arena.h"
#include "plan/parse.h"
#include "supervisor/cgroup_tree.h"
#include "supervisor/hand_layers.h"
#include "supervisor/hand_start.h"
#include "supervisor/hand_tidy.h"
#include "supervisor/job.h"
#include "supervisor/kernel.h"
#include "supervisor/remove_tree.h"

namespace caisson {

namespace {

Failure FailureOf(const Result<>& result) {
  return result ? Failure{} : result.error();
}

void MakeGroupParent(const HandContext& context, const std::string& path, Message* reply) {
  uint64_t missing = 0;
  for (size_t i = 0; i < context.cgroup_bases.size(); ++i) {
    const CgroupBase& base = context.cgroup_bases[i];
    const int error = MakeGroupPath(base.path, path, base.v2);
    if (error != 0) reply->failure = {Step::kCgroupCreate, 0, error, 0};
    if (base.v2) missing |= context.host.hierarchies[i].controls & ~ControlsOfV2(base.path + path);
  }
  reply->fields.U64(JobTag::kControls, missing);
}

void Work(const HandContext& context, Message& job, Message* reply) {
  const launch::Host& host = context.host;
  switch (job.kind) {
    case JobKind::kLaunch:
      return StartContainer(host, job, reply);
    case JobKind::kExec:
      return StartExec(host, job, reply);
    case JobKind::kKill:
      reply->failure = FailureOf(launch::KillCgroup(host, job.First(JobTag::kGroup)));
      return;
    case JobKind::kFreeze:
    case JobKind::kThaw: {
      const bool freeze = job.kind == JobKind::kFreeze;
      reply->failure = FailureOf(
          launch::SetFrozen(host, job.First(JobTag::kGroup),
                            freeze ? launch::Freezing::kFreeze : launch::Freezing::kThaw));
      return;
    }
    case JobKind::kKit: {
      auto kit = launch::MakeKit(host);
      if (!kit) {
        reply->failure = kit.error();
      } else {
        reply->PutKit(std::move(*kit));
      }
      return;
    }
    case JobKind::kSlot:
      return MakeSlot(host, job, reply);
    case JobKind::kGroup: {
      auto group =
          launch::MakeCgroup(host, job.First(JobTag::kGroup), job.Number(JobTag::kControls), {});
      if (!group) reply->failure = group.error();
      return;
    }
    case JobKind::kTidy:
      return Tidy(context, job, reply);
    case JobKind::kRemove:
      reply->text = job.First(JobTag::kFolder);
      reply->failure =
          FailureOf(RemoveFolder(host.store.get(), reply->text, "trash/" + context.runtime_id));
      return;
    case JobKind::kRotate:
      return RotateLog(host, job, reply);
    case JobKind::kImport:
      return StartImport(host, job, reply);
    case JobKind::kUnpack:
      return StartUnpack(host, job, reply);
    case JobKind::kPublish:
      return PublishLayer(host, job, reply);
    case JobKind::kSettle:
      return SettleLayer(host, job, reply);
    case JobKind::kSync:
      return StartSync(host, reply);
    case JobKind::kExport:
      return StartExport(host, job, reply);
    case JobKind::kDiff:
      return StartDiff(host, job, reply);
    case JobKind::kGroupParent:
      return MakeGroupParent(context, job.First(JobTag::kPath) + '/' + context.runtime_id, reply);
    case JobKind::kSources:
      return OpenSources(job, reply);
    case JobKind::kOpenFolder: {
      const std::string path = job.First(JobTag::kPath);
      UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      reply->text = path;
      if (!folder) reply->failure = {Step::kImportSource, 0, errno, 0};
      reply->fd(Role::kSource) = std::move(folder);
      return;
    }
    case JobKind::kSweep:
      SweepRunFolders(context.run_parent_fd, context.runtime_id);
      return;
    case JobKind::kUndo:
      reply->failure =
          FailureOf(EndRunFolder(context.run_parent_fd, context.run_folder_fd, context.runtime_id));
      return;
  }
}

}  // namespace

void RunHand(const HandContext& context, HandPlace, int socket) {
  MessageReader reader;
  for (;;) {
    switch (reader.Receive(socket, true)) {
      case MessageReader::State::kPartial:
        continue;
      case MessageReader::State::kEnded:
        _exit(0);
      case MessageReader::State::kWhole:
        break;
    }
    Message reply;
    {
      Message job = reader.Take();
      reply.kind = job.kind;
      Work(context, job, &reply);
      // Descriptors that the job brought are closed before the answer only where that is the job:
      // closing the last one of a mount namespace takes its time.
    }
    if (SendMessage(socket, reply, true) != 0) _exit(1);
  }
}

}  // namespace caisson
