// zone: test
#pragma once

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <span>
#include <vector>

#include "launch/check.h"
#include "plan/seccomp/profile.h"
#include "seccomp/calls.h"

namespace caisson::test {

// libseccomp, where it is installed: found when the test runs, so that nothing is built against it.
// Used as runc uses it.
class Libseccomp {
 public:
  Libseccomp() {
    const char* name = getenv("CAISSON_LIBSECCOMP");  // another one than the system's
    library_ = dlopen(name != nullptr ? name : "libseccomp.so.2", RTLD_NOW);
    if (library_ == nullptr) return;
    Find("seccomp_init", &init_);
    Find("seccomp_release", &release_);
    Find("seccomp_arch_add", &arch_add_);
    Find("seccomp_arch_remove", &arch_remove_);
    Find("seccomp_syscall_resolve_name", &resolve_);
    Find("seccomp_syscall_resolve_name_arch", &resolve_arch_);
    Find("seccomp_rule_add_array", &rule_add_);
    Find("seccomp_export_bpf", &export_bpf_);
  }

  [[nodiscard]] bool found() const { return library_ != nullptr; }

  // It may be older than our table.
  [[nodiscard]] bool Knows(std::string_view name, Architecture architecture) const {
    const int number = Resolve(name, architecture);
    return number >= 0 || (architecture == Architecture::kI386 && IsMultiplexed(name));
  }

  // A call of socketcall(2) or ipc(2): it brings rules for those on i386.
  [[nodiscard]] bool IsMultiplexed(std::string_view name) const {
    const int number = Resolve(name, Architecture::kI386);
    return number <= -100 && number > -300;  // libseccomp's names for them
  }

  // The filter for `rules`, which are taken to apply.
  [[nodiscard]] std::vector<sock_filter> Compile(
      Verdict default_verdict, std::span<const Rule* const> rules,
      std::span<const Architecture> architectures) const {
    void* context = init_(default_verdict);
    CHECK(context != nullptr);
    CHECK(arch_remove_(context, 0) == 0);  // the native one
    for (const Architecture architecture : architectures) {
      CHECK(arch_add_(context, kTokens[static_cast<int>(architecture)]) == 0);
    }
    for (const Rule* rule : rules) {
      // Refused by libseccomp and left out by runc.
      if (rule->verdict != default_verdict) Add(context, *rule);
    }
    std::vector<sock_filter> filter = Export(context);
    release_(context);
    return filter;
  }

 private:
  struct Comparison {
    unsigned argument;
    int op;
    uint64_t value;
    uint64_t value_two;
  };
  static_assert(static_cast<int>(Operator::kMaskedEqual) + 1 == 7);  // SCMP_CMP_NE = 1 and so on

  static constexpr uint32_t kTokens[kArchitectures] = {0xc000003e, 0x4000003e, 0x40000003,
                                                       0xc00000b7, 0x40000028};

  int Resolve(std::string_view name, Architecture architecture) const {
    return resolve_arch_(kTokens[static_cast<int>(architecture)], std::string(name).c_str());
  }

  template <typename Function>
  void Find(const char* name, Function* function) {
    void* symbol = dlsym(library_, name);
    CHECK(symbol != nullptr);
    memcpy(function, &symbol, sizeof symbol);
  }

  void Add(void* context, const Rule& rule) const {
    std::vector<std::vector<Comparison>> alternatives(1);
    unsigned seen = 0;
    bool twice = false;
    for (const Condition& condition : rule.conditions) {
      alternatives[0].push_back({condition.argument, static_cast<int>(condition.op) + 1,
                                 condition.value, condition.value_two});
      twice = twice || (seen >> condition.argument & 1) != 0;
      seen |= 1u << condition.argument;
    }
    if (twice) {
      const std::vector<Comparison> all = alternatives[0];
      alternatives.clear();
      for (const Comparison& one : all) alternatives.push_back({one});
    }
    std::string names(rule.names);
    for (char* rest = names.data(); char* name = strtok_r(rest, " ", &rest);) {
      const int number = resolve_(name);
      if (number == -1) continue;  // not known to it
      for (const auto& comparisons : alternatives) {
        const int error = rule_add_(context, rule.verdict, number,
                                    static_cast<unsigned>(comparisons.size()), comparisons.data());
        // A call that none of the architectures has.
        CHECK(error == 0 || error == -EDOM || error == -EINVAL || error == -EEXIST);
      }
    }
  }

  std::vector<sock_filter> Export(void* context) const {
    const int fd = memfd_create("filter", MFD_CLOEXEC);
    CHECK_OK(fd);
    CHECK(export_bpf_(context, fd) == 0);
    const off_t bytes = lseek(fd, 0, SEEK_END);
    std::vector<sock_filter> filter(static_cast<size_t>(bytes) / sizeof(sock_filter));
    CHECK(pread(fd, filter.data(), static_cast<size_t>(bytes), 0) == bytes);
    close(fd);
    return filter;
  }

  void* library_ = nullptr;
  void* (*init_)(uint32_t) = nullptr;
  void (*release_)(void*) = nullptr;
  int (*arch_add_)(void*, uint32_t) = nullptr;
  int (*arch_remove_)(void*, uint32_t) = nullptr;
  int (*resolve_)(const char*) = nullptr;
  int (*resolve_arch_)(uint32_t, const char*) = nullptr;
  int (*rule_add_)(void*, uint32_t, int, unsigned, const Comparison*) = nullptr;
  int (*export_bpf_)(const void*, int) = nullptr;
};

}  // namespace caisson::test
