// zone: native
#include <utility>

#include "supervisor/diff_plan.h"
#include "supervisor/imports.h"

namespace caisson {

using protocol::Tag;

void Imports::Export(Request request) {
  std::string layer;
  FieldReader reader(request.body->bytes());
  for (Field field; reader.Next(&field);) {
    std::string_view path;
    if (field.tag != static_cast<uint16_t>(Tag::kExportLayer) || !field.ReadString(&path) ||
        !IsLayerPath(path) || !layer.empty()) {
      return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, field.tag});
    }
    layer = path;
  }
  if (!reader.ok()) return answers_.Failed(request.id, {Step::kParse, 0, EBADMSG, 0});
  if (layer.empty()) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kExportLayer)});
  }
  if (request.fds.size() != 1) {
    return answers_.Failed(request.id, {Step::kProtocol, 0, EBADF, uint32_t(request.type)});
  }
  Running& made = running_[request.id];
  made.kind = JobKind::kExport;
  made.step = Step::kExport;
  made.target = std::move(layer);
  made.source = std::move(request.fds[0]);
  StartWorker(request.id);
}

void Imports::Diff(Request request) {
  const auto plan = ParseDiff(request.body->bytes());
  if (!plan) return answers_.Failed(request.id, plan.error());
  if (request.fds.size() != 1) {
    return answers_.Failed(request.id, {Step::kProtocol, 0, EBADF, uint32_t(request.type)});
  }
  const uint32_t id = request.id;
  Running& made = running_[id];
  made.kind = JobKind::kDiff;
  made.step = Step::kExport;
  made.target = plan->upper;
  made.body = std::move(request.body);
  made.source = std::move(request.fds[0]);
  if (plan->lower.empty()) return StartWorker(id);
  Job job;
  job.who = Who::kOuter;
  job.prepare = [lower = plan->lower](Message& message) {
    message.kind = JobKind::kOpenFolder;
    message.fields.String(JobTag::kPath, lower);
    return true;
  };
  job.done = [this, id](Message reply) {
    const auto found = running_.find(id);
    if (found == running_.end()) return;
    if (!reply.ok()) return Fail(id, reply.failure, reply.text);
    found->second.lower = std::move(reply.fd(Role::kSource));
    StartWorker(id);
  };
  jobs_.Submit(std::move(job));
}

}  // namespace caisson
