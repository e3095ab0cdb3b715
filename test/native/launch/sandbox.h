// zone: test
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/fields.h"
#include "launch/launch.h"
#include "plan/parse.h"

// A place to launch in: own mount namespace, a store on a tmpfs with a busybox layer, and what a
// hand would know. Everything goes with the program.
namespace caisson::test {

struct Outcome {
  std::optional<Failure> failure;  // of Launch or Join, or reported by the child
  int code = -1;                   // exit code, or -1
  int signal = 0;                  // that ended it, or 0
  std::string out;
  std::string err;
};

class Sandbox {
 public:
  // Enters the namespaces; once per program.
  explicit Sandbox(bool rootless);

  launch::Host host;

  [[nodiscard]] int NewScratch();  // a folder of the store with upper/ and work/, borrowed
  [[nodiscard]] std::string LayerPath(const std::string& path) const;  // on this side

  // The fields of a launch of `argv` in the busybox layer with proc, sys, dev and pts.
  [[nodiscard]] FieldWriter Body(const std::vector<std::string>& argv) const;
  [[nodiscard]] FieldWriter ExecBody(const std::vector<std::string>& argv) const;

  // Launches and waits for the end. `while_running` is called with the pidfd once exec has happened.
  Outcome Launch(const FieldWriter& body, const launch::Cgroup& cgroup = {},
                 const std::function<void(const launch::Started&)>& while_running = {});
  Outcome Join(const FieldWriter& body, int init_pidfd, const launch::Cgroup* cgroup = nullptr,
               const std::function<void(const launch::Started&)>& while_running = {});

 private:
  Outcome Finish(Result<launch::Started> started, int out, int err,
                 const std::function<void(const launch::Started&)>& while_running);

  int scratches_ = 0;
  UniqueFd last_scratch_;
};

// Descriptors of this process, for the leak check.
int CountDescriptors();
// Mounts of this process's namespace.
int CountMounts();

}  // namespace caisson::test
