// zone: native
#include "supervisor/options.h"

#include <string_view>

namespace caisson {

namespace {

bool HasControl(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

// Newlines would forge journal records, ".." would leave the folder that was meant.
bool IsAbsolutePath(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > 3000 || HasControl(path)) return false;
  return (std::string(path) + '/').find("/../") == std::string::npos;
}

// What the map says is the kernel's and the program's to judge; here, that it is one argument each.
bool IsIdHelper(const IdHelper& helper) {
  constexpr size_t kMostMap = 4000;  // user_namespaces(7): less than a page
  if (helper.map.empty()) return helper.program.empty();
  return IsAbsolutePath(helper.program) && helper.map.size() <= kMostMap &&
         helper.map.find_first_not_of("0123456789:,") == std::string::npos;
}

}  // namespace

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && !HasControl(name);
}

bool IsStorePath(std::string_view path) {
  if (path.size() > 1024) return false;
  while (true) {
    const size_t slash = path.find('/');
    if (!IsPlainName(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Result<Options> ParseOptions(int argc, char** argv, std::string* detail) {
  Options options;
  std::string mode;
  for (int i = 0; i < argc; ++i) {
    const std::string_view name = argv[i];
    *detail = name;
    if (name == "--debug") {
      options.debug = true;
      continue;
    }
    if (name == "--host-pids") {
      options.host_pids = true;
      continue;
    }
    if (name == "--sealed") {
      options.sealed = true;
      continue;
    }
    if (i + 1 >= argc) return Fail(Step::kReadOptions, EINVAL);
    const char* value = argv[++i];
    if (name == "--root") {
      options.root = value;
    } else if (name == "--run") {
      options.run = value;
    } else if (name == "--id") {
      options.id = value;
    } else if (name == "--cgroup-parent") {
      options.cgroup_parent = value;
    } else if (name == "--newuidmap") {
      options.id_helpers.uids.program = value;
    } else if (name == "--uid-map") {
      options.id_helpers.uids.map = value;
    } else if (name == "--newgidmap") {
      options.id_helpers.gids.program = value;
    } else if (name == "--gid-map") {
      options.id_helpers.gids.map = value;
    } else if (name == "--mode") {
      mode = value;
    } else {
      return Fail(Step::kReadOptions, EINVAL);
    }
  }
  if (options.cgroup_parent.empty()) options.cgroup_parent = "/caisson";
  const struct {
    const char* name;
    bool good;
  } checks[] = {
      {"--root", IsAbsolutePath(options.root)},
      {"--run", IsAbsolutePath(options.run)},
      {"--id", IsPlainName(options.id) && options.id.size() <= 64},
      {"--cgroup-parent", IsAbsolutePath(options.cgroup_parent)},
      {"--uid-map", IsIdHelper(options.id_helpers.uids)},
      {"--gid-map", IsIdHelper(options.id_helpers.gids)},
      {"--mode", mode == "root" || mode == "rootless"},
  };
  for (const auto& check : checks) {
    *detail = check.name;
    if (!check.good) return Fail(Step::kReadOptions, EINVAL);
  }
  options.privilege = mode == "root" ? Privilege::kRoot : Privilege::kRootless;
  detail->clear();
  return options;
}

}  // namespace caisson
