// zone: native
#pragma once

#include <optional>
#include <string>
#include <string_view>

// Names in a layer's archive.
namespace caisson::layer {

// `path` in its shortest form, relative, "" for the top itself: no empty part, no ".", and none of
// "..", each of which takes the part before it away. Nothing where that leads out of the layer.
[[nodiscard]] std::optional<std::string> CleanPath(std::string_view path);

struct SplitPath {
  std::string_view parent;  // "" is the top
  std::string_view name;
};
[[nodiscard]] SplitPath Split(std::string_view path) noexcept;

// What a name means in a layer (image-spec, layer.md).
enum class Meaning {
  kPlain,
  kWhiteout,        // of what follows kWhiteoutPrefix
  kOpaqueWhiteout,  // of all that is in the folder
  kIgnored,         // AUFS's own
  kNone,            // no such name can be
};
constexpr std::string_view kWhiteoutPrefix = ".wh.";
[[nodiscard]] Meaning MeaningOf(std::string_view clean_path) noexcept;

}  // namespace caisson::layer
