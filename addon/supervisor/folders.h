// zone: native
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "supervisor/channel.h"
#include "supervisor/hands.h"
#include "supervisor/journal.h"
#include "supervisor/pools.h"

namespace caisson {

// Folders of the program in the store: Register, Release, Remove.
class Folders {
 public:
  Folders(Jobs& jobs, Pools& pools, Answers& answers, Journal* journal)
      : jobs_(jobs), pools_(pools), answers_(answers), journal_(journal) {}

  void Register(const Request& request);
  void Release(const Request& request);
  void Remove(const Request& request);

  [[nodiscard]] bool Has(uint32_t id) const { return removing_.contains(id); }

 private:
  // Answers with Failed and returns "" when the body is not exactly one good kFolder.
  [[nodiscard]] std::string ReadFolder(const Request& request);
  void Forget(const std::string& folder);

  Jobs& jobs_;
  Pools& pools_;
  Answers& answers_;
  Journal* journal_;  // null in tests
  std::unordered_map<std::string, uint32_t> registered_;
  std::unordered_set<uint32_t> removing_;
};

}  // namespace caisson
