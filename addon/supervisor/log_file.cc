// zone: native
#include "supervisor/log_file.h"

#include "supervisor/kernel.h"
#include "supervisor/options.h"
#include "supervisor/remove_tree.h"

namespace caisson {

namespace {

struct Place {
  UniqueFd folder;
  std::string name;
};

Result<Place> Locate(int store_fd, const std::string& path) {
  if (!IsStorePath(path)) return Fail(Step::kLog, EINVAL);
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return Fail(Step::kLog, EINVAL);
  auto folder = OpenStoreFolder(store_fd, path.substr(0, slash), Missing::kCreate, Step::kLog);
  if (!folder) return std::unexpected(folder.error());
  return Place{std::move(*folder), path.substr(slash + 1)};
}

Result<UniqueFd> Open(const Place& place) {
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
  UniqueFd log(
      sys::OpenAt2(place.folder.get(), place.name.c_str(), kFlags, kernel::kBeneath, 0600));
  if (!log) return FailErrno(Step::kLog);
  return log;
}

}  // namespace

Result<UniqueFd> OpenLogFile(int store_fd, const std::string& path) {
  auto place = Locate(store_fd, path);
  if (!place) return std::unexpected(place.error());
  return Open(*place);
}

Result<UniqueFd> RotateLogFile(int store_fd, const std::string& path, uint32_t files) {
  auto place = Locate(store_fd, path);
  if (!place) return std::unexpected(place.error());
  const int folder = place->folder.get();
  const std::string& name = place->name;
  if (files <= 1) {
    // Readers who have it open keep what they had.
    if (unlinkat(folder, name.c_str(), 0) != 0 && errno != ENOENT) return FailErrno(Step::kLog);
  }
  for (uint32_t i = files; i > 1; --i) {
    const std::string from = i == 2 ? name : name + '.' + std::to_string(i - 2);
    const std::string to = name + '.' + std::to_string(i - 1);
    if (renameat(folder, from.c_str(), folder, to.c_str()) != 0 && errno != ENOENT) {
      return FailErrno(Step::kLog);
    }
  }
  return Open(*place);
}

}  // namespace caisson
