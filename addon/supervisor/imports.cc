// zone: native
#include "supervisor/imports.h"

#include <limits.h>

#include <utility>

#include "layer/unpack_plan.h"
#include "plan/parse.h"
#include "supervisor/kernel.h"

namespace caisson {

using protocol::Tag;
using protocol::Type;

void Imports::Import(Request request) {
  std::string source;
  std::string target;
  FieldReader reader(request.body->bytes());
  for (Field field; reader.Next(&field);) {
    std::string_view text;
    const bool known = field.tag == static_cast<uint16_t>(Tag::kImportSource) ||
                       field.tag == static_cast<uint16_t>(Tag::kImportTarget);
    if (!known || !field.ReadString(&text)) {
      return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, field.tag});
    }
    (field.tag == static_cast<uint16_t>(Tag::kImportSource) ? source : target) = text;
  }
  if (!reader.ok()) return answers_.Failed(request.id, {Step::kParse, 0, EBADMSG, 0});
  if (source.empty() || source.front() != '/' || source.size() >= PATH_MAX) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kImportSource)});
  }
  if (!IsLayerPath(target)) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kImportTarget)});
  }

  const uint32_t id = request.id;
  (void)Begin(id, JobKind::kImport, Step::kImport, std::move(target));
  Job job;
  job.who = Who::kOuter;
  job.prepare = [source](Message& message) {
    message.kind = JobKind::kOpenFolder;
    message.fields.String(JobTag::kPath, source);
    return true;
  };
  job.done = [this, id](Message reply) {
    const auto found = running_.find(id);
    if (found == running_.end()) return;
    if (!reply.ok()) return Fail(id, reply.failure, reply.text);
    found->second.source = std::move(reply.fd(Role::kSource));
    StartWorker(id);
  };
  jobs_.Submit(std::move(job));
}

Imports::Running& Imports::Begin(uint32_t id, JobKind kind, Step step, std::string target) {
  Running& made = running_[id];
  made.kind = kind;
  made.step = step;
  made.target = std::move(target);
  // A name that was never there: ext4 chooses the place of the tree by it (SpreadTrees).
  made.copy = scratch_ + "/layers/" + std::to_string(RealtimeNs()) + '-' + std::to_string(next_++);
  return made;
}

void Imports::Unpack(Request request) {
  auto plan = layer::ParseUnpack(request.body->bytes());
  if (!plan) return answers_.Failed(request.id, plan.error());
  if (!IsLayerPath(plan->target)) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kUnpackTarget)});
  }
  if (request.fds.empty() || request.fds.size() > 2) {
    return answers_.Failed(request.id, {Step::kProtocol, 0, EBADF, uint32_t(request.type)});
  }
  Running& made = Begin(request.id, JobKind::kUnpack, Step::kUnpack, std::move(plan->target));
  made.body = std::move(request.body);
  made.source = std::move(request.fds[0]);
  if (request.fds.size() == 2) made.feed = std::move(request.fds[1]);
  StartWorker(request.id);
}

void Imports::Sync(uint32_t id) {
  Running& made = running_[id];
  made.kind = JobKind::kSync;
  made.step = Step::kUnpackWrite;
  StartWorker(id);
}

void Imports::Settle(const Request& request) {
  std::string target;
  std::vector<std::string> layers;
  FieldReader reader(request.body->bytes());
  for (Field field; reader.Next(&field);) {
    std::string_view path;
    const bool layer =
        field.tag == static_cast<uint16_t>(Tag::kLayer) && layers.size() < kMaxLayers;
    const bool first = field.tag == static_cast<uint16_t>(Tag::kUnpackTarget) && target.empty();
    if ((!layer && !first) || !field.ReadString(&path) || !IsLayerPath(path)) {
      return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, field.tag});
    }
    if (layer) {
      layers.emplace_back(path);
    } else {
      target = path;
    }
  }
  if (!reader.ok()) return answers_.Failed(request.id, {Step::kParse, 0, EBADMSG, 0});
  if (target.empty()) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kUnpackTarget)});
  }
  const uint32_t id = request.id;
  settling_.insert(id);
  Job job;
  job.urgency = Urgency::kPrepare;
  job.prepare = [target, layers](Message& message) {
    message.kind = JobKind::kSettle;
    message.fields.String(JobTag::kTarget, target);
    for (const std::string& layer : layers) message.fields.String(JobTag::kLayer, layer);
    return true;
  };
  job.done = [this, id](Message reply) {
    settling_.erase(id);
    if (!reply.ok()) return answers_.Failed(id, reply.failure, reply.text);
    answers_.Done(id);
  };
  jobs_.Submit(std::move(job));
}

void Imports::StartWorker(uint32_t id) {
  Job job;
  job.urgency = Urgency::kPrepare;
  job.makes_process = true;
  job.prepare = [this, id](Message& message) {
    const auto found = running_.find(id);
    if (found == running_.end()) return false;
    Running& running = found->second;
    if (running.killed) {
      const Step step = running.step;
      loop_.Soon([this, id, step] { Fail(id, {step, 0, ECANCELED, 0}, {}); });
      return false;
    }
    message.kind = running.kind;
    message.body = running.body;
    message.fd(Role::kSource) = std::move(running.source);
    message.fd(Role::kFeed) = std::move(running.feed);
    message.fd(Role::kFolder) = std::move(running.lower);
    message.fields.String(JobTag::kFolder, running.copy.empty() ? running.target : running.copy);
    return true;
  };
  job.done = [this, id](Message reply) {
    const auto found = running_.find(id);
    if (found == running_.end()) return;
    if (!reply.ok()) return Fail(id, reply.failure, reply.text);
    Running& running = found->second;
    running.pid = reply.pid;
    running.pidfd = std::move(reply.fd(Role::kPidfd));
    running.report = std::move(reply.fd(Role::kReport));
    running.token =
        loop_.Watch(running.pidfd.get(), EPOLLIN, [this, id](uint32_t) { OnWorkerDeath(id); });
    if (running.killed) (void)sys::PidfdSendSignal(running.pidfd.get(), SIGKILL);
  };
  jobs_.Submit(std::move(job));
}

// Its whole report fits into the pipe, so there was no need to read before its end.
void Imports::OnWorkerDeath(uint32_t id) {
  Running& running = running_.find(id)->second;
  siginfo_t status;
  rusage usage;
  if (kernel::WaitPidfd(running.pidfd.get(), &status, WEXITED | WNOHANG, &usage) == 0 &&
      status.si_pid == 0) {
    return;
  }
  loop_.Forget(&running.token);
  (void)fcntl(running.report.get(), F_SETFL, O_NONBLOCK);
  uint8_t report[PIPE_BUF];
  const ssize_t bytes =
      RetryEintr([&] { return read(running.report.get(), report, sizeof report); });

  Failure failure = {running.step, 0, running.killed ? ECANCELED : ECHILD, 0};
  std::string detail;
  bool good = bytes > 0 && status.si_code == CLD_EXITED && status.si_status == 0;
  if (bytes > 0) {
    // What it says of itself alone makes it no success: it must have ended well.
    FieldReader reader(Bytes{report, static_cast<size_t>(bytes)});
    for (Field field; reader.Next(&field);) {
      uint64_t number = 0;
      std::string_view text;
      (void)field.ReadU64(&number);
      (void)field.ReadString(&text);
      switch (static_cast<Tag>(field.tag)) {
        case Tag::kStep:
          if (number < static_cast<uint64_t>(Step::kCount))
            failure.step = static_cast<Step>(number);
          break;
        case Tag::kErrno:
          failure.error = static_cast<int32_t>(number);
          break;
        case Tag::kIndex:
          failure.index = static_cast<uint32_t>(number);
          break;
        case Tag::kDetail:
          detail = text;
          break;
        default:
          running.result.Blob(static_cast<Tag>(field.tag), field.payload);
          break;
      }
    }
    good = good && reader.ok();
  } else if (status.si_code == CLD_EXITED && status.si_status != 0) {
    failure.error = status.si_status;  // The sandbox could not be made: its errno.
    detail = "sandbox";
  }
  if (!good || running.killed) return Fail(id, failure, detail);
  if (running.copy.empty()) return Finish(id);
  Publish(id);
}

void Imports::Publish(uint32_t id) {
  Job job;
  job.urgency = Urgency::kPrepare;
  job.prepare = [this, id](Message& message) {
    const Running& running = running_.find(id)->second;
    message.kind = JobKind::kPublish;
    message.fields.String(JobTag::kFolder, running.copy).String(JobTag::kTarget, running.target);
    return true;
  };
  job.done = [this, id](Message reply) {
    const auto found = running_.find(id);
    if (!reply.ok()) return Fail(id, reply.failure, found->second.target);
    Finish(id);
  };
  jobs_.Submit(std::move(job));
}

void Imports::Finish(uint32_t id) {
  const auto found = running_.find(id);
  const FieldWriter result = std::move(found->second.result);
  running_.erase(found);
  answers_.Send(Type::kDone, id, result, {});
  MaybeGone();
}

void Imports::Fail(uint32_t id, Failure failure, std::string detail) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  loop_.Forget(&found->second.token);
  const std::string copy = std::move(found->second.copy);
  running_.erase(found);
  if (!copy.empty()) RemoveCopy(copy);
  answers_.Failed(id, failure, detail);
  MaybeGone();
}

void Imports::RemoveCopy(const std::string& copy) {
  Job job;
  job.prepare = [copy](Message& message) {
    message.kind = JobKind::kRemove;
    message.fields.String(JobTag::kFolder, copy);
    return true;
  };
  jobs_.Submit(std::move(job));
}

bool Imports::Kill(uint32_t id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return false;
  found->second.killed = true;
  if (found->second.pidfd) (void)sys::PidfdSendSignal(found->second.pidfd.get(), SIGKILL);
  return true;
}

void Imports::MaybeGone() {
  if (running_.empty() && gone_) loop_.Soon(std::exchange(gone_, nullptr));
}

void Imports::KillAll(std::function<void()> gone) {
  gone_ = std::move(gone);
  MaybeGone();
  for (auto& [id, running] : running_) {
    running.killed = true;
    if (running.pidfd) (void)sys::PidfdSendSignal(running.pidfd.get(), SIGKILL);
  }
}

bool Imports::Claims(pid_t pid) const {
  for (const auto& [id, running] : running_) {
    if (running.pid == pid) return true;
  }
  return false;
}

}  // namespace caisson
