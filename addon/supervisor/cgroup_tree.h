// zone: native
#pragma once

#include <stdint.h>

#include <string>
#include <string_view>

// The way down to a runtime's own cgroup, by path: groups in which controllers are at hand.
namespace caisson {

[[nodiscard]] std::string ReadGroupText(const std::string& path);
// Whether `word` is one of a list's.
[[nodiscard]] bool HasWord(std::string_view list, std::string_view word, char divider);

// Makes `relative` ("/a/b") below the existing group `base`, one component at a time; those that
// were there belong to others too. In each of them, and in `base`, what is below gets every
// controller that there is (v2), or starts from what is above (v1's cpuset, which begins empty and
// takes nobody in). 0 or errno of what could not be made; a controller that is refused is missing.
[[nodiscard]] int MakeGroupPath(const std::string& base, const std::string& relative, bool v2);

// v1: what a fresh group needs to take anybody in, where nobody above has seen to it.
void StartFromParent(const std::string& parent, const std::string& group);

// v2: the group above, where the program has been moved to a leaf to make room for groups beside it
// (MakeGroupPath does that); else `group` itself.
[[nodiscard]] std::string AboveLeaf(std::string group, bool v2);

// What can be limited in groups made below `path`: bits of protocol::Control.
[[nodiscard]] uint64_t ControlsOfV2(const std::string& path);
[[nodiscard]] uint64_t ControlsOfV1(const std::string& path, std::string_view controller);

}  // namespace caisson
