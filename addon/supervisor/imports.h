// zone: native
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "supervisor/channel.h"
#include "supervisor/hands.h"

namespace caisson {

// Imports: a host folder is copied into the runtime's scratch folder by a sandboxed worker, and
// gets its name in the store when it is complete and on disk. What did not become complete is
// removed.
class Imports {
 public:
  Imports(Loop& loop, Jobs& jobs, Answers& answers, std::string scratch)
      : loop_(loop), jobs_(jobs), answers_(answers), scratch_(std::move(scratch)) {}

  void Import(Request request);
  // Ends it: Failed{kImport, ECANCELED} follows. False: there is no such import.
  [[nodiscard]] bool Kill(uint32_t id);
  // `gone` when the last one was answered for.
  void KillAll(std::function<void()> gone);

  [[nodiscard]] bool Has(uint32_t id) const { return running_.contains(id); }
  [[nodiscard]] bool Claims(pid_t pid) const;

 private:
  struct Running {
    std::string target;
    std::string copy;
    UniqueFd source;
    UniqueFd report;
    UniqueFd pidfd;
    pid_t pid = -1;
    bool killed = false;
    Loop::Token token = 0;
    FieldWriter result;
  };
  void StartWorker(uint32_t id);
  void OnWorkerDeath(uint32_t id);
  void Publish(uint32_t id);
  // By value: what is told may lie in the entry that ends here.
  void Fail(uint32_t id, Failure failure, std::string detail);
  void RemoveCopy(const std::string& copy);
  void MaybeGone();

  Loop& loop_;
  Jobs& jobs_;
  Answers& answers_;
  std::string scratch_;
  uint32_t next_ = 0;
  std::function<void()> gone_;
  std::unordered_map<uint32_t, Running> running_;
};

}  // namespace caisson
