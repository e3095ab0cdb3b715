// zone: native
#include "plan/seccomp/emitter.h"

#include <algorithm>
#include <utility>

namespace caisson::seccomp {
namespace {

constexpr size_t kFarthest = UINT8_MAX;

constexpr bool IsReturn(const sock_filter& instruction) noexcept {
  return instruction.code == (BPF_RET | BPF_K);
}

}  // namespace

Emitter::Label Emitter::Append(sock_filter instruction) {
  if (full()) return 0;
  code_.push_back(instruction);
  return static_cast<Label>(code_.size() - 1);
}

Emitter::Label Emitter::Newest(Label label) const {
  const auto found = stand_ins_.find(label);
  return found == stand_ins_.end() ? label : found->second;
}

Emitter::Label Emitter::BringNear(Label label) {
  if (full()) return 0;
  const sock_filter target = code_[label];
  const auto distance = static_cast<uint32_t>(Distance(label));
  const Label stand_in =
      Append(IsReturn(target) ? target : sock_filter{BPF_JMP | BPF_JA, 0, 0, distance});
  stand_ins_[label] = stand_in;
  return stand_in;
}

Emitter::Label Emitter::Return(Verdict verdict) {
  const auto found = returns_.find(verdict);
  if (found != returns_.end()) return found->second;
  const Label label = Append({BPF_RET | BPF_K, 0, 0, verdict});
  returns_[verdict] = label;
  return label;
}

Emitter::Label Emitter::Jump(uint16_t test, uint32_t constant, Label yes, Label no) {
  // A stand-in for one of them moves the other away, at most out of reach: then it gets one too.
  Label near_yes = Newest(yes);
  Label near_no = Newest(no);
  while (!full()) {
    if (Distance(near_yes) > kFarthest) {
      near_yes = BringNear(yes);
    } else if (Distance(near_no) > kFarthest) {
      near_no = BringNear(no);
    } else {
      break;
    }
  }
  return Append({static_cast<uint16_t>(BPF_JMP | test | BPF_K),
                 static_cast<uint8_t>(Distance(near_yes)), static_cast<uint8_t>(Distance(near_no)),
                 constant});
}

// What is not a jump goes on with what was added last.
void Emitter::PutNext(Label next) {
  if (!full() && next + 1 != code_.size()) (void)BringNear(next);
}

Emitter::Label Emitter::Load(uint32_t offset, Label next) {
  PutNext(next);
  return Append({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset});
}

Emitter::Label Emitter::And(uint32_t mask, Label next) {
  PutNext(next);
  return Append({BPF_ALU | BPF_AND | BPF_K, 0, 0, mask});
}

std::vector<sock_filter> Emitter::Finish(Label start) {
  PutNext(start);
  std::ranges::reverse(code_);
  return std::move(code_);
}

}  // namespace caisson::seccomp
