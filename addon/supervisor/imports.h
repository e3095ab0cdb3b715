// zone: native
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "supervisor/channel.h"
#include "supervisor/hands.h"
#include "supervisor/options.h"

namespace caisson {

// Beneath a folder of the store, not one of them.
[[nodiscard]] inline bool IsLayerPath(std::string_view path) {
  return IsStorePath(path) && path.find('/') != std::string_view::npos;
}

// How layers come in: a host folder is copied, or an archive unpacked, into the runtime's scratch
// folder by a sandboxed worker (worker.h), and gets its name in the store when it is complete. A
// copy is on the disk then; of what was unpacked a Sync, for several at once, sees to that. What
// did not become complete is removed. And how one that came from a folder, or what a container has
// written, goes out (exports.cc).
class Imports {
 public:
  Imports(Loop& loop, Jobs& jobs, Answers& answers, std::string scratch)
      : loop_(loop), jobs_(jobs), answers_(answers), scratch_(std::move(scratch)) {}

  void Import(Request request);
  void Unpack(Request request);
  void Settle(const Request& request);
  void Sync(uint32_t id);
  void Export(Request request);
  void Diff(Request request);
  // Ends an import, an unpacking or an export: Failed{ECANCELED} follows. False: there is no such.
  [[nodiscard]] bool Kill(uint32_t id);
  // `gone` when the last one was answered for.
  void KillAll(std::function<void()> gone);

  [[nodiscard]] bool Has(uint32_t id) const {
    return running_.contains(id) || settling_.contains(id);
  }
  [[nodiscard]] bool Claims(pid_t pid) const;

 private:
  struct Running {
    JobKind kind = {};  // kImport, kUnpack, kSync, kExport or kDiff
    Step step = {};     // of what fails for no other reason
    std::string target;
    std::string copy;  // empty: nothing is made
    std::shared_ptr<Body> body;
    UniqueFd source;
    UniqueFd feed;
    UniqueFd lower;
    UniqueFd report;
    UniqueFd pidfd;
    pid_t pid = -1;
    bool killed = false;
    Loop::Token token = 0;
    FieldWriter result;
  };
  // The id is kept by what comes next.
  Running& Begin(uint32_t id, JobKind kind, Step step, std::string target);
  void StartWorker(uint32_t id);
  void OnWorkerDeath(uint32_t id);
  void Publish(uint32_t id);
  void Finish(uint32_t id);
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
  std::unordered_set<uint32_t> settling_;
};

}  // namespace caisson
