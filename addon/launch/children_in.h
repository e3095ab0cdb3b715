// zone: native
#pragma once

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "sys/process.h"

namespace caisson::launch {

// Children of the hand are born in the pid namespace of a container's process while this lives. The
// hand itself never is in there.
class ChildrenIn {
 public:
  explicit ChildrenIn(int init_pidfd) noexcept : self_(sys::PidfdOpen(sys::GetPid())) {
    if (!self_ || sys::SetNs(init_pidfd, CLONE_NEWPID) != 0) {
      error_ = errno;
    }
  }
  ChildrenIn(const ChildrenIn&) = delete;
  ChildrenIn& operator=(const ChildrenIn&) = delete;
  ~ChildrenIn() {
    // Cannot fail: one may always go back to one's own. If it did, the next clone would be born
    // among strangers, so there must not be one.
    if (error_ == 0 && sys::SetNs(self_.get(), CLONE_NEWPID) != 0) _exit(1);
  }
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  UniqueFd self_;
  int error_ = 0;
};

}  // namespace caisson::launch
