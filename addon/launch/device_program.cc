// zone: native
#include "launch/device_program.h"

#include <stddef.h>

namespace caisson::launch {
namespace {

// The registers. The context comes in kScratch, the answer leaves in kAnswer.
enum Register : uint8_t {
  kAnswer = 0,
  kScratch = 1,
  kKind = 2,
  kAccess = 3,
  kMajor = 4,
  kMinor = 5
};

constexpr uint8_t kImmediate = BPF_K;
constexpr uint8_t kRegister = BPF_X;

class Assembler {
 public:
  void Load(Register to, size_t offset) {
    Emit(BPF_LDX | BPF_MEM | BPF_W, to, kScratch, static_cast<int16_t>(offset), 0);
  }
  void Copy(Register to, Register from) { Emit(BPF_ALU | BPF_MOV | kRegister, to, from, 0, 0); }
  void Set(Register to, int32_t value) { Emit(BPF_ALU | BPF_MOV | kImmediate, to, 0, 0, value); }
  void And(Register to, int32_t value) { Emit(BPF_ALU | BPF_AND | kImmediate, to, 0, 0, value); }
  void Shift(Register to, int32_t bits) { Emit(BPF_ALU | BPF_RSH | kImmediate, to, 0, 0, bits); }
  void Exit() { Emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

  // Leaves the rule that is being written.
  void SkipUnless(Register left, int32_t value) { Skip(BPF_JNE | kImmediate, left, 0, value); }
  void SkipUnless(Register left, Register right) { Skip(BPF_JNE | kRegister, left, right, 0); }
  void SkipIfNone(Register left) { Skip(BPF_JEQ | kImmediate, left, 0, 0); }

  // The end of a rule: where its skips lead.
  void EndRule() {
    for (const size_t skip : skips_) {
      program_[skip].off = static_cast<int16_t>(program_.size() - skip - 1);
    }
    skips_.clear();
  }
  [[nodiscard]] std::vector<bpf_insn> Take() { return std::move(program_); }

 private:
  void Skip(uint8_t condition, uint8_t left, uint8_t right, int32_t value) {
    skips_.push_back(program_.size());
    Emit(static_cast<uint8_t>(BPF_JMP | condition), left, right, 0, value);
  }
  void Emit(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
    bpf_insn instruction = {};
    instruction.code = code;
    instruction.dst_reg = to & 0xf;
    instruction.src_reg = from & 0xf;
    instruction.off = offset;
    instruction.imm = value;
    program_.push_back(instruction);
  }

  std::vector<bpf_insn> program_;
  std::vector<size_t> skips_;
};

constexpr int32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;
static_assert(static_cast<int>(protocol::DeviceAccess::kMake) == BPF_DEVCG_ACC_MKNOD &&
              static_cast<int>(protocol::DeviceAccess::kRead) == BPF_DEVCG_ACC_READ &&
              static_cast<int>(protocol::DeviceAccess::kWrite) == BPF_DEVCG_ACC_WRITE);

void CompileRule(const DeviceRule& rule, Assembler& out) {
  if (rule.kind != 'a') {
    out.SkipUnless(kKind, rule.kind == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  }
  if (rule.access != kAllAccess) {
    out.Copy(kScratch, kAccess);
    out.And(kScratch, rule.access);
    if (rule.allow) {
      out.SkipUnless(kScratch, kAccess);
    } else {
      out.SkipIfNone(kScratch);
    }
  }
  if (rule.major != DeviceRule::kAny) out.SkipUnless(kMajor, static_cast<int32_t>(rule.major));
  if (rule.minor != DeviceRule::kAny) out.SkipUnless(kMinor, static_cast<int32_t>(rule.minor));
  out.Set(kAnswer, rule.allow ? 1 : 0);
  out.Exit();
  out.EndRule();
}

}  // namespace

std::vector<bpf_insn> CompileDeviceRules(List<DeviceRule> rules) {
  Assembler out;
  out.Load(kKind, offsetof(bpf_cgroup_dev_ctx, access_type));
  out.Load(kMajor, offsetof(bpf_cgroup_dev_ctx, major));
  out.Load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor));
  out.Copy(kAccess, kKind);
  out.And(kKind, 0xffff);
  out.Shift(kAccess, 16);
  // The last one that fits decides: so the first that fits from the end on. What stands before a
  // rule that fits everything is never reached, and the kernel refuses what is not.
  for (uint32_t i = rules.count; i-- > 0;) {
    const DeviceRule& rule = rules.items[i];
    CompileRule(rule, out);
    const bool all = rule.kind == 'a' && rule.access == kAllAccess &&
                     rule.major == DeviceRule::kAny && rule.minor == DeviceRule::kAny;
    if (all) return out.Take();
  }
  out.Set(kAnswer, 0);
  out.Exit();
  return out.Take();
}

}  // namespace caisson::launch
