// zone: test
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

#include <span>

#include "launch/check.h"

namespace caisson::test {

// Runs a filter as the kernel does, which takes these instructions from seccomp(2) and few more.
// Anything that the kernel would have refused to load is a failed check.
inline uint32_t Interpret(std::span<const sock_filter> filter, const seccomp_data& data,
                          uint64_t* steps = nullptr) {
  CHECK(!filter.empty() && filter.size() <= BPF_MAXINSNS);
  uint32_t accumulator = 0;
  for (size_t at = 0;; ++at) {
    CHECK(at < filter.size());
    if (steps != nullptr) ++*steps;
    const sock_filter& instruction = filter[at];
    const auto jump = [&at, &instruction](bool yes) {
      at += yes ? instruction.jt : instruction.jf;
    };
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        CHECK(instruction.k % 4 == 0 && instruction.k < sizeof data);
        memcpy(&accumulator, reinterpret_cast<const char*>(&data) + instruction.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= instruction.k;
        break;
      case BPF_JMP | BPF_JA:
        at += instruction.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump(accumulator == instruction.k);
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        jump(accumulator > instruction.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump(accumulator >= instruction.k);
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        jump((accumulator & instruction.k) != 0);
        break;
      case BPF_RET | BPF_K:
        return instruction.k;
      default:
        Fail(__FILE__, __LINE__, "instruction " + std::to_string(instruction.code));
    }
  }
}

}  // namespace caisson::test
