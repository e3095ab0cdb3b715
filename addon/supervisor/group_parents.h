// zone: native
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "supervisor/hands.h"
#include "supervisor/journal.h"
#include "supervisor/options.h"

namespace caisson {

// Parents of groups other than the runtime's own: a container there is in PARENT/<runtime id>/NAME.
// To everybody else that is a name like any other, since it leads there from the runtime's own
// group.
class GroupParents {
 public:
  // `journal` may be null, where nothing is made for real.
  GroupParents(Jobs& jobs, Journal* journal, const Options& options,
               const std::vector<CgroupBase>& bases)
      : jobs_(jobs), journal_(journal), options_(options), bases_(bases) {}

  // What comes before the names of groups below `parent`.
  [[nodiscard]] std::string PrefixOf(const std::string& parent) const;
  // Makes the runtime's group there unless it is made, journalled before; then `ready`. `missing`:
  // what the runtime can limit, but not there (bits of protocol::Control).
  using Ready = std::function<void(const Failure& failure, uint64_t missing)>;
  void Make(const std::string& parent, Ready ready);

 private:
  Jobs& jobs_;
  Journal* journal_;
  const Options& options_;
  const std::vector<CgroupBase>& bases_;
  std::set<std::string> journalled_;
  std::set<std::string> made_;
};

}  // namespace caisson
