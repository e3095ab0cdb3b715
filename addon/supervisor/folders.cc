// zone: native
#include "supervisor/folders.h"

#include "supervisor/options.h"

namespace caisson {

using protocol::Tag;

std::string Folders::ReadFolder(const Request& request) {
  const Failure bad = {Step::kParse, 0, EINVAL, static_cast<uint32_t>(Tag::kFolder)};
  FieldReader reader(request.body->bytes());
  std::string folder;
  for (Field field; reader.Next(&field);) {
    std::string_view text;
    if (field.tag != static_cast<uint16_t>(Tag::kFolder) || !field.ReadString(&text) ||
        !folder.empty()) {
      answers_.Failed(request.id, {Step::kParse, 0, EINVAL, field.tag});
      return {};
    }
    folder = text;
  }
  // The store's own folders are not the program's to give away, nor is what belongs to a runtime.
  const bool good = reader.ok() && IsStorePath(folder) && folder.find('/') != std::string::npos &&
                    !folder.starts_with("scratch/") && !folder.starts_with("trash/");
  if (good) return folder;
  answers_.Failed(request.id, bad, folder);
  return {};
}

void Folders::Register(const Request& request) {
  const std::string folder = ReadFolder(request);
  if (folder.empty()) return;
  if (!registered_.contains(folder)) {
    uint32_t number = 0;
    if (journal_ != nullptr) {
      auto record = journal_->Append("folder", folder);
      if (!record) return answers_.Failed(request.id, record.error(), folder);
      number = *record;
    }
    registered_.emplace(folder, number);
  }
  answers_.Done(request.id);
}

void Folders::Forget(const std::string& folder) {
  const auto found = registered_.find(folder);
  if (found == registered_.end()) return;
  if (journal_ != nullptr) journal_->Gone(found->second);
  registered_.erase(found);
}

void Folders::Release(const Request& request) {
  const std::string folder = ReadFolder(request);
  if (folder.empty()) return;
  Forget(folder);
  answers_.Done(request.id);
}

void Folders::Remove(const Request& request) {
  const std::string folder = ReadFolder(request);
  if (folder.empty()) return;
  pools_.ForgetLayer(folder);
  const uint32_t id = request.id;
  removing_.insert(id);
  Job job;
  job.prepare = [folder](Message& message) {
    message.kind = JobKind::kRemove;
    message.fields.String(JobTag::kFolder, folder);
    return true;
  };
  job.done = [this, id, folder](Message reply) {
    removing_.erase(id);
    if (!reply.ok()) return answers_.Failed(id, reply.failure, folder);
    Forget(folder);
    answers_.Done(id);
  };
  jobs_.Submit(std::move(job));
}

}  // namespace caisson
