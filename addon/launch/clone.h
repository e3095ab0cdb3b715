// zone: native
#pragma once

#include <vector>

#include "child/context.h"
#include "launch/launch.h"

namespace caisson::launch {

// The cgroups of one child: by the clone itself where that can be, by the child's own hand else.
struct CgroupEntry {
  int v2_folder = -1;
  std::vector<UniqueFd> procs;  // where the child writes itself: `tasks` of each v1 hierarchy

  [[nodiscard]] bool empty() const { return v2_folder < 0 && procs.empty(); }
};

// A pipe, or a socket pair: then both ends do both. Neither end is one of the three numbers that
// the child's stdio takes.
struct Pair {
  UniqueFd read_end;
  UniqueFd write_end;
};
[[nodiscard]] Result<Pair> MakePipe(Step step);

[[nodiscard]] Result<CgroupEntry> OpenCgroupEntry(const Host& host, const Cgroup& cgroup);

// What the child is to do, once it is one.
using ChildMain = void (*)(child::Context&) noexcept;

// Clones with all signals blocked and runs `child_main(context)` in the child, whose cgroups and
// report pipe are filled in here. `namespaces` are CLONE_NEW* flags.
[[nodiscard]] Result<Started> CloneChild(const Host& host, uint64_t namespaces, CgroupEntry& cgroup,
                                         Parent parent, bool gated, child::Context& context,
                                         ChildMain child_main);

}  // namespace caisson::launch
