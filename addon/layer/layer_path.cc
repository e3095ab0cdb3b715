// zone: native
#include "layer/layer_path.h"

namespace caisson::layer {
namespace {

constexpr std::string_view kMetaPrefix = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

}  // namespace

std::optional<std::string> CleanPath(std::string_view path) {
  std::string clean;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (clean.empty()) return std::nullopt;
      const size_t last = clean.rfind('/');
      clean.resize(last == std::string::npos ? 0 : last);
      continue;
    }
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

SplitPath Split(std::string_view path) noexcept {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {.parent = {}, .name = path};
  return {.parent = path.substr(0, slash), .name = path.substr(slash + 1)};
}

Meaning MeaningOf(std::string_view clean_path) noexcept {
  auto [parent, name] = Split(clean_path);
  while (!parent.empty()) {
    const SplitPath up = Split(parent);
    if (up.name.starts_with(kMetaPrefix)) return Meaning::kIgnored;
    if (up.name.starts_with(kWhiteoutPrefix)) return Meaning::kNone;
    parent = up.parent;
  }
  if (!name.starts_with(kWhiteoutPrefix)) return Meaning::kPlain;
  if (name == kOpaque) return Meaning::kOpaqueWhiteout;
  if (name.starts_with(kMetaPrefix)) return Meaning::kIgnored;
  const std::string_view hidden = name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") return Meaning::kNone;
  return Meaning::kWhiteout;
}

}  // namespace caisson::layer
