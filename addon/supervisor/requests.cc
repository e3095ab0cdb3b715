// zone: native
#include "supervisor/requests.h"

#include "plan/parse.h"
#include "supervisor/options.h"

namespace caisson {

using protocol::Tag;
using protocol::Type;

namespace {

constexpr int kMostSignals = 64;

// The numbers of a small body in which only `tags` may stand, each once. Failure{kParse}.
Result<std::vector<uint64_t>> ReadNumbers(Bytes body, std::initializer_list<Tag> tags) {
  std::vector<uint64_t> values(tags.size(), 0);
  std::vector<bool> seen(tags.size(), false);
  FieldReader reader(body);
  for (Field field; reader.Next(&field);) {
    size_t at = 0;
    for (const Tag tag : tags) {
      if (static_cast<uint16_t>(tag) == field.tag) break;
      ++at;
    }
    if (at == tags.size() || seen[at] || !field.ReadU64(&values[at])) {
      return Fail(Step::kParse, EINVAL, field.tag);
    }
    seen[at] = true;
  }
  if (!reader.ok()) return Fail(Step::kParse, EBADMSG);
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i]) return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(tags.begin()[i]));
  }
  return values;
}

bool TakesDescriptors(Type type) {
  return type == Type::kLaunch || type == Type::kExec || type == Type::kUnpack ||
         type == Type::kExport || type == Type::kDiff;
}

}  // namespace

void Requests::Refuse(const Request& request, int error) {
  answers_.Failed(request.id, {Step::kProtocol, 0, error, static_cast<uint32_t>(request.type)});
}

void Requests::Handle(Request request) {
  if (!greeted_) return Hello(request);
  if (closing_) return Refuse(request, ESHUTDOWN);
  if (!TakesDescriptors(request.type) && !request.fds.empty()) return Refuse(request, EBADF);
  if (tasks_.Has(request.id) || imports_.Has(request.id) || folders_.Has(request.id)) {
    return Refuse(request, EALREADY);
  }
  switch (request.type) {
    case Type::kLaunch:
      return tasks_.Launch(std::move(request));
    case Type::kExec:
      return tasks_.Exec(std::move(request));
    case Type::kSignal:
      return Signal(request);
    case Type::kKill:
      return Kill(request);
    case Type::kFreeze:
    case Type::kThaw:
      return Freeze(request);
    case Type::kRegister:
      return folders_.Register(request);
    case Type::kRelease:
      return folders_.Release(request);
    case Type::kRemove:
      return folders_.Remove(request);
    case Type::kImport:
      return imports_.Import(std::move(request));
    case Type::kUnpack:
      return imports_.Unpack(std::move(request));
    case Type::kSettle:
      return imports_.Settle(request);
    case Type::kSync:
      if (!request.body->bytes().empty()) return Refuse(request, EBADMSG);
      return imports_.Sync(request.id);
    case Type::kExport:
      return imports_.Export(std::move(request));
    case Type::kDiff:
      return imports_.Diff(std::move(request));
    case Type::kWarm:
      return Warm(request);
    case Type::kClose:
      if (!request.body->bytes().empty()) return Refuse(request, EBADMSG);
      closing_ = true;
      return hooks_.close(request.id);
    case Type::kResize:
      return Resize(request);
    case Type::kHello:
    default:
      return Refuse(request, EPROTO);
  }
}

void Requests::Hello(const Request& request) {
  const auto numbers = ReadNumbers(request.body->bytes(), {Tag::kVersion});
  const bool hello = request.type == Type::kHello && request.fds.empty() && numbers.has_value();
  if (!hello || numbers->front() != protocol::kVersion) {
    const int error = hello ? EPROTONOSUPPORT : EPROTO;
    answers_.Failed(request.id, {Step::kProtocol, 0, error, static_cast<uint32_t>(request.type)},
                    "hand-shake");
    return hooks_.refused();
  }
  greeted_ = true;
  answers_.Send(Type::kWelcome, request.id, hooks_.welcome(), {});
  pools_.Refill();
}

void Requests::Signal(const Request& request) {
  const auto numbers = ReadNumbers(request.body->bytes(), {Tag::kTarget, Tag::kSignal});
  if (!numbers) return answers_.Failed(request.id, numbers.error());
  const uint64_t target = (*numbers)[0];
  const uint64_t signal = (*numbers)[1];
  if (target > UINT32_MAX || signal < 1 || signal > kMostSignals) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kSignal)});
  }
  const auto sent = tasks_.Signal(static_cast<uint32_t>(target), static_cast<int>(signal));
  if (!sent) return answers_.Failed(request.id, sent.error());
  answers_.Done(request.id);
}

void Requests::Kill(const Request& request) {
  const auto numbers = ReadNumbers(request.body->bytes(), {Tag::kTarget});
  if (!numbers) return answers_.Failed(request.id, numbers.error());
  const uint64_t target = numbers->front();
  if (target > UINT32_MAX) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kTarget)});
  }
  if (imports_.Kill(static_cast<uint32_t>(target))) return answers_.Done(request.id);
  const auto killed = tasks_.Kill(static_cast<uint32_t>(target));
  if (!killed) return answers_.Failed(request.id, killed.error());
  answers_.Done(request.id);
}

void Requests::Resize(const Request& request) {
  const auto numbers =
      ReadNumbers(request.body->bytes(), {Tag::kTarget, Tag::kColumns, Tag::kRows});
  if (!numbers) return answers_.Failed(request.id, numbers.error());
  const uint64_t target = (*numbers)[0];
  const uint64_t columns = (*numbers)[1];
  const uint64_t rows = (*numbers)[2];
  if (target > UINT32_MAX || columns > UINT16_MAX || rows > UINT16_MAX) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kColumns)});
  }
  const auto resized = tasks_.Resize(static_cast<uint32_t>(target), static_cast<uint16_t>(columns),
                                     static_cast<uint16_t>(rows));
  if (!resized) return answers_.Failed(request.id, resized.error());
  answers_.Done(request.id);
}

void Requests::Freeze(const Request& request) {
  const auto numbers = ReadNumbers(request.body->bytes(), {Tag::kTarget});
  if (!numbers) return answers_.Failed(request.id, numbers.error());
  const uint64_t target = numbers->front();
  if (target > UINT32_MAX) {
    return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, uint32_t(Tag::kTarget)});
  }
  const bool freeze = request.type == Type::kFreeze;
  tasks_.SetFrozen(request.id, static_cast<uint32_t>(target),
                   freeze ? launch::Freezing::kFreeze : launch::Freezing::kThaw);
}

void Requests::Warm(const Request& request) {
  std::vector<std::string> layers;
  FieldReader reader(request.body->bytes());
  for (Field field; reader.Next(&field);) {
    std::string_view layer;
    if (field.tag != static_cast<uint16_t>(Tag::kLayer) || !field.ReadString(&layer) ||
        !IsStorePath(layer) || layers.size() >= kMaxLayers) {
      return answers_.Failed(request.id, {Step::kParse, 0, EINVAL, field.tag});
    }
    layers.emplace_back(layer);
  }
  if (!reader.ok()) return answers_.Failed(request.id, {Step::kParse, 0, EBADMSG, 0});
  pools_.Warm(layers);
  answers_.Done(request.id);
  pools_.Refill();
}

}  // namespace caisson
