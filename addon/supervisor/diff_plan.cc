// zone: native
#include "supervisor/diff_plan.h"

#include <errno.h>
#include <limits.h>

#include <string_view>

#include "plan/parse.h"
#include "supervisor/options.h"

namespace caisson {

using protocol::Tag;

namespace {

Result<> Refuse(Tag tag) {
  return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(tag));
}

bool IsHostPath(std::string_view path) {
  return path.starts_with('/') && path.size() < PATH_MAX;
}

Result<> ParseField(Field& field, DiffPlan* plan, std::string* uid_map, std::string* gid_map) {
  const auto tag = static_cast<Tag>(field.tag);
  if (tag == Tag::kDiffForm) {
    uint64_t form = 0;
    const bool read = plan->form == protocol::DiffForm{} && field.ReadU64(&form);
    if (!read || form < 1 || form > static_cast<uint64_t>(protocol::DiffForm::kWhole)) {
      return Refuse(tag);
    }
    plan->form = static_cast<protocol::DiffForm>(form);
    return {};
  }
  std::string_view text;
  if (!field.ReadString(&text) || text.empty()) return Refuse(tag);
  switch (tag) {
    case Tag::kLayer:
      if (!IsStorePath(text) || plan->layers.size() >= kMaxLayers) return Refuse(tag);
      plan->layers.emplace_back(text);
      return {};
    case Tag::kDiffMountPoint:
      if (!IsHostPath(text) || plan->mount_points.size() >= kMaxMounts) return Refuse(tag);
      plan->mount_points.emplace_back(text);
      return {};
    default:
      break;
  }
  std::string* to = nullptr;
  if (tag == Tag::kDiffUpper && IsStorePath(text)) to = &plan->upper;
  if (tag == Tag::kImportSource && IsHostPath(text)) to = &plan->lower;
  if (tag == Tag::kUidMap) to = uid_map;
  if (tag == Tag::kGidMap) to = gid_map;
  if (to == nullptr || !to->empty()) return Refuse(tag);
  *to = text;
  return {};
}

}  // namespace

Result<DiffPlan> ParseDiff(Bytes body) {
  DiffPlan plan;
  std::string uid_map;
  std::string gid_map;
  FieldReader reader(body);
  for (Field field; reader.Next(&field);) {
    if (auto parsed = ParseField(field, &plan, &uid_map, &gid_map); !parsed) {
      return std::unexpected(parsed.error());
    }
  }
  if (!reader.ok()) return Fail(Step::kParse, EBADMSG);
  const auto missing = [&](Tag tag) {
    return Fail(Step::kParse, EINVAL, static_cast<uint32_t>(tag));
  };
  if (plan.form == protocol::DiffForm{}) return missing(Tag::kDiffForm);
  if (plan.upper.empty()) return missing(Tag::kDiffUpper);
  if (plan.layers.empty() == plan.lower.empty()) return missing(Tag::kLayer);
  if (!plan.ids.Set(uid_map, gid_map)) return missing(Tag::kUidMap);
  return plan;
}

}  // namespace caisson
