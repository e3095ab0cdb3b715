// zone: native
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

// What the parts of `check` share. Each trial runs in a forked child, so that nothing it enters,
// drops or mounts sticks to the next one.
namespace caisson::check {

enum class Verdict : uint8_t { kOk, kFail, kNote };

// What one trial found. Trivially copyable: the child writes it to a pipe.
struct Finding {
  Verdict verdict = Verdict::kOk;
  int32_t error = 0;
  char cause[40] = {};
  char detail[512] = {};
};

[[nodiscard]] Finding Ok(std::string_view detail = {});
[[nodiscard]] Finding Fail(const char* cause, int error, std::string_view detail);
[[nodiscard]] Finding Note(const char* cause, int error, std::string_view detail);

struct Host {
  std::string root;
  std::string run;
  std::string cgroup_parent = "/caisson";
  bool rootless = false;
  uid_t uid = 0;
  gid_t gid = 0;
  bool filtered = false;     // a seccomp filter was already there when we started
  std::string store_folder;  // scratch folder on the store's file system; empty: could not be made
  std::string run_folder;    // the same for the run folder
};

// Where a trial runs.
enum class Where : uint8_t {
  kOutside,  // as the program itself
  kInside,   // where the supervisor works: own mount namespace; rootless: in its user namespace too
};

using Trial = std::function<Finding()>;

// Forks, runs `trial`, and returns what it found. A child that dies or takes longer than five
// seconds is itself the finding. May be nested.
[[nodiscard]] Finding Try(const Host& host, Where where, const Trial& trial);

// As Try(kInside), in a child that is pid 1 of a pid namespace, with the further namespaces
// `flags`.
[[nodiscard]] Finding TryAsInit(const Host& host, int flags, const Trial& trial);

// Why a user namespace, or something in it, was refused.
[[nodiscard]] const char* UserNamespaceCause(const Host& host, int error);

// Small readers; absent is empty.
[[nodiscard]] std::string ReadFile(const char* path, size_t limit = 64 * 1024);
[[nodiscard]] std::string ReadWord(
    const char* path);  // the first line, without white space at its ends
[[nodiscard]] std::vector<std::string> Lines(std::string_view text);
[[nodiscard]] std::vector<std::string> Words(std::string_view line);
[[nodiscard]] const char* ErrnoName(int error);
[[nodiscard]] uint64_t EffectiveCapabilities();

// How much an item matters in a mode: what fails that is only wanted is printed as a note.
enum class Weight : uint8_t { kSkipped, kWanted, kNeeded };

struct Item {
  const char* id;
  Finding (*run)(const Host& host);
  Weight as_root;
  Weight rootless;
};

// What the copy of this program that memfd-exec starts does: says by its exit status what it runs
// from.
[[nodiscard]] int RunFromCopy();

// The items of each part, in the order they are printed.
[[nodiscard]] std::vector<Item> KernelItems();
[[nodiscard]] std::vector<Item> NamespaceItems();
[[nodiscard]] std::vector<Item> StoreItems();
[[nodiscard]] std::vector<Item> CgroupItems();
[[nodiscard]] std::vector<Item> ToolItems();

}  // namespace caisson::check
