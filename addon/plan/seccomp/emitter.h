// zone: native
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include <map>
#include <vector>

#include "plan/seccomp/profile.h"

namespace caisson::seccomp {

// Writes a filter from its end to its beginning, so that every place one jumps to is there already:
// BPF jumps forward only. A conditional jump reaches 255 instructions far; where that is too
// little, the place is brought nearer by a copy (of a return) or by an unconditional jump.
class Emitter {
 public:
  // An instruction, counted from the end of the program.
  using Label = uint32_t;

  [[nodiscard]] Label Return(Verdict verdict);
  [[nodiscard]] Label Jump(uint16_t test, uint32_t constant, Label yes, Label no);
  // These go on at `next`.
  [[nodiscard]] Label Load(uint32_t offset, Label next);
  [[nodiscard]] Label And(uint32_t mask, Label next);

  // More than the kernel takes: nothing is added any more, and what is there is no use.
  [[nodiscard]] bool full() const noexcept { return code_.size() >= BPF_MAXINSNS; }
  [[nodiscard]] std::vector<sock_filter> Finish(Label start);

 private:
  [[nodiscard]] Label Append(sock_filter instruction);
  // How many instructions lie between `label` and one that were added now.
  [[nodiscard]] size_t Distance(Label label) const noexcept { return code_.size() - label - 1; }
  [[nodiscard]] Label Newest(Label label) const;
  [[nodiscard]] Label BringNear(Label label);
  void PutNext(Label next);

  std::vector<sock_filter> code_;  // the last instruction first
  std::map<Verdict, Label> returns_;
  std::map<Label, Label> stand_ins_;  // the newest place that leads to an older one
};

}  // namespace caisson::seccomp
