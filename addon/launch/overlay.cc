// zone: native
#include "launch/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "launch/user_namespace.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/process.h"

namespace caisson::launch {
namespace {

// How this kernel takes layers. Tried in order, by trying; what worked is remembered.
enum class Way {
  kDescriptors,  // linux 6.13
  kNames,        // "lowerdir+", linux 6.8
  kOneName,      // "lowerdir=a:b", at most 255 bytes
  kClassic,      // mount(2), one page of options, attached for a moment
};

// Said always, because distributions default them differently: redirect and metacopy xattrs in a
// foreign layer would read files elsewhere in the lower tree, an index breaks copied stores.
// "nofollow" rather than "off": off still follows where the module's redirect_always_follow is on.
constexpr const char* kSettings[][2] = {
    {"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}};

// No fsync(2), and no sync of the whole file system below when the last mount goes (linux 5.10).
constexpr char kVolatile[] = "volatile";

constexpr size_t kMaxOneName = 255;  // fsconfig(2)

void ReadLog(int context, std::string* log) {
  if (log == nullptr) return;
  log->clear();
  char text[4096];  // a smaller buffer loses the message: fsopen(2)
  for (;;) {
    const ssize_t got = read(context, text, sizeof text);
    if (got <= 0) return;
    if (!log->empty() && log->back() != '\n') log->push_back('\n');
    log->append(text, static_cast<size_t>(got));
  }
}

// While it lives, the current folder is procfs's list of our descriptors: a descriptor's number is
// then the shortest possible name of what it refers to.
class AmongDescriptors {
 public:
  explicit AmongDescriptors(const Host& host) noexcept
      : before_(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    const UniqueFd list(openat(host.proc.get(), "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
    error_ = before_ && list && fchdir(list.get()) == 0 ? 0 : errno;
  }
  AmongDescriptors(const AmongDescriptors&) = delete;
  AmongDescriptors& operator=(const AmongDescriptors&) = delete;
  ~AmongDescriptors() {
    // It was the current folder a moment ago; if it cannot be again, "/" is as good to a hand.
    if (before_ && fchdir(before_.get()) != 0) (void)!chdir("/");
  }
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  UniqueFd before_;
  int error_ = 0;
};

std::string JoinNames(const std::vector<int>& descriptors) {
  std::string names;
  for (const int fd : descriptors) {
    if (!names.empty()) names.push_back(':');
    names += std::to_string(fd);
  }
  return names;
}

// Sets what `way` needs. 0 or errno.
int SetParts(int context, const OverlayParts& parts, Way way) {
  if (way == Way::kDescriptors) {
    const auto set = [context](const char* key, int fd) {
      return sys::FsConfig(context, FSCONFIG_SET_FD, key, nullptr, fd);
    };
    for (const int fd : parts.lower) {
      if (set("lowerdir+", fd) != 0) return errno;
    }
    if (parts.upper < 0) return 0;
    return set("upperdir", parts.upper) == 0 && set("workdir", parts.work) == 0 ? 0 : errno;
  }
  const auto set = [context](const char* key, const std::string& value) {
    return sys::FsString(context, key, value.c_str());
  };
  if (way == Way::kNames) {
    for (const int fd : parts.lower) {
      if (set("lowerdir+", std::to_string(fd)) != 0) return errno;
    }
  } else {
    const std::string names = JoinNames(parts.lower);
    if (names.size() > kMaxOneName) return E2BIG;
    if (set("lowerdir", names) != 0) return errno;
  }
  if (parts.upper < 0) return 0;
  return set("upperdir", std::to_string(parts.upper)) == 0 &&
                 set("workdir", std::to_string(parts.work)) == 0
             ? 0
             : errno;
}

Result<UniqueFd> MountByContext(const Host& host, const OverlayParts& parts, Way way,
                                std::string* log) {
  const UniqueFd context(sys::FsOpen("overlay"));
  if (!context) return FailErrno(Step::kOverlay);
  int error = sys::FsString(context.get(), "source", "overlay") == 0 ? 0 : errno;
  for (const auto& setting : kSettings) {
    if (error == 0 && sys::FsString(context.get(), setting[0], setting[1]) != 0) error = errno;
  }
  // Else the first mount writes an identity into upper/, which then is not as new afterwards. What
  // has no word for it (before 6.6) writes none.
  if (way <= Way::kNames) (void)sys::FsString(context.get(), "uuid", "null");
  if (error == 0 && parts.kind == Upper::kEphemeral && sys::FsFlag(context.get(), kVolatile) != 0) {
    error = errno;
  }
  if (error == 0 && host.rootless && sys::FsFlag(context.get(), "userxattr") != 0) error = errno;
  if (error == 0 && parts.label != nullptr &&
      sys::FsString(context.get(), "context", parts.label) != 0) {
    error = errno;
  }
  if (error == 0) error = SetParts(context.get(), parts, way);
  if (error == 0 && sys::FsCreate(context.get()) != 0) error = errno;
  UniqueFd mount;
  if (error == 0) {
    mount.reset(sys::FsMount(context.get(), CAISSON_GUARD(kNoDevices) ? MOUNT_ATTR_NODEV : 0));
    if (!mount) error = errno;
  }
  if (error == 0) return mount;
  ReadLog(context.get(), log);
  return Fail(Step::kOverlay, error);
}

// A folder of our own below host.staging, for what must be attached somewhere for a moment. Two
// hands share the mount namespace, so each has one of its own.
class StagingFolder {
 public:
  explicit StagingFolder(const Host& host) {
    if (host.staging.empty()) return;
    path_ = host.staging + "/" + std::to_string(sys::GetPid());
    if (mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) path_.clear();
  }
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;
  ~StagingFolder() {
    if (path_.empty()) return;
    // What is still mounted there, one over the other, goes now; then it is EINVAL.
    while (sys::Unmount(path_.c_str(), sys::MNT_DETACH) == 0) {
    }
    (void)rmdir(path_.c_str());
  }
  [[nodiscard]] bool usable() const noexcept { return !path_.empty(); }
  [[nodiscard]] const char* path() const noexcept { return path_.c_str(); }

 private:
  std::string path_;
};

// Remove when kernel 6.8 is the floor.
Result<UniqueFd> MountClassic(const Host& host, const OverlayParts& parts) {
  const StagingFolder staging(host);
  if (!staging.usable()) return Fail(Step::kOverlay, E2BIG);
  std::string options = "lowerdir=" + JoinNames(parts.lower);
  if (parts.upper >= 0) {
    options += ",upperdir=" + std::to_string(parts.upper);
    options += ",workdir=" + std::to_string(parts.work);
  }
  for (const auto& setting : kSettings) {
    options += std::string(",") + setting[0] + "=" + setting[1];
  }
  if (host.rootless) options += ",userxattr";
  if (parts.kind == Upper::kEphemeral) options += std::string(",") + kVolatile;
  // A level has commas.
  if (parts.label != nullptr) options += std::string(",context=\"") + parts.label + '"';
  if (options.size() >= 4096) return Fail(Step::kOverlay, E2BIG);
  if (sys::Mount("overlay", staging.path(), "overlay", MS_NODEV, options.c_str()) != 0) {
    return FailErrno(Step::kOverlay);
  }
  UniqueFd mount(sys::OpenTree(AT_FDCWD, staging.path(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!mount) return FailErrno(Step::kOverlay);
  return mount;
}

Result<UniqueFd> MountBy(const Host& host, const OverlayParts& parts, Way way, std::string* log) {
  if (way == Way::kDescriptors) return MountByContext(host, parts, way, log);
  const AmongDescriptors here(host);
  if (here.error() != 0) return Fail(Step::kOverlay, here.error());
  return way == Way::kClassic ? MountClassic(host, parts) : MountByContext(host, parts, way, log);
}

// EOPNOTSUPP: file systems that do not speak fsconfig(2) themselves take no descriptors (overlay
// before 6.5); EINVAL: no such option, or not of this kind; E2BIG: more than it can name.
bool IsUnknownWay(int error) noexcept {
  return error == EINVAL || error == EOPNOTSUPP || error == E2BIG;
}

// Opens (making what is missing) a store-relative or plain folder beneath `base`.
Result<UniqueFd> OpenScratch(int base, const char* path) {
  std::string rest = path;
  UniqueFd folder(openat(base, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  while (folder && !rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string name = rest.substr(0, slash);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    if (mkdirat(folder.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
      return FailErrno(Step::kScratchFolder);
    }
    folder = UniqueFd(
        openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!folder) return FailErrno(Step::kScratchFolder);
  return folder;
}

struct UpperAndWork {
  UniqueFd upper;
  UniqueFd work;
};

Result<UpperAndWork> OpenUpperAndWork(int folder) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UpperAndWork pair = {.upper = UniqueFd(openat(folder, "upper", kFlags)), .work = UniqueFd()};
  if (!pair.upper) return FailErrno(Step::kScratchFolder);
  pair.work.reset(openat(folder, "work", kFlags));
  if (!pair.work) return FailErrno(Step::kScratchFolder);
  return pair;
}

Result<UniqueFd> MountByFirstWay(const Host& host, const OverlayParts& parts,
                                 std::string* kernel_log) {
  static Way first = Way::kDescriptors;  // of this process; a wrong guess only costs a try
  Result<UniqueFd> mount = Fail(Step::kOverlay, ENOSYS);
  for (int way = static_cast<int>(first); way <= static_cast<int>(Way::kClassic); ++way) {
    // mount(2) is for more layers than the way before could name.
    if (static_cast<Way>(way) == Way::kClassic && !mount && mount.error().error != E2BIG) break;
    mount = MountBy(host, parts, static_cast<Way>(way), kernel_log);
    if (mount) {
      if (static_cast<Way>(way) != Way::kClassic) first = static_cast<Way>(way);
      return mount;
    }
    // Another error than "not known here" is the answer. A true mistake may be EINVAL, too: then
    // the next way meets it as well.
    if (!IsUnknownWay(mount.error().error)) break;
  }
  return mount;
}

}  // namespace

Result<UniqueFd> MountOverlay(const Host& host, const OverlayParts& parts,
                              std::string* kernel_log) {
  auto mount = MountByFirstWay(host, parts, kernel_log);
  if (mount || parts.kind == Upper::kKept || mount.error().error != EINVAL) return mount;
  // Remove when kernel 5.10 is the floor.
  OverlayParts plain = parts;
  plain.kind = Upper::kKept;
  return MountByFirstWay(host, plain, kernel_log);
}

namespace {

// A detached tree is no layer to older kernels, which do not clone one either, so it is attached
// while it becomes one: the overlay keeps a reference of its own. Not tried: a volatile mount that
// fails spoils its work folder. Remove when kernel 6.15 is the floor.
Result<UniqueFd> MountDetachedLayers(const Host& host, const OverlayParts& parts,
                                     std::string* kernel_log) {
  static const bool by_descriptor{CloneDetached(parts.lower.front())};
  if (by_descriptor) return MountOverlay(host, parts, kernel_log);
  const StagingFolder staging(host);
  if (!staging.usable()) return MountOverlay(host, parts, kernel_log);
  for (const int layer : parts.lower) {
    if (sys::MoveMountToPath(layer, staging.path()) != 0) return FailErrno(Step::kOverlay);
  }
  return MountOverlay(host, parts, kernel_log);
}

// Where kMapMount fails with it, it is about the image.
constexpr uint32_t kNoMountItem = UINT32_MAX;

// What the container writes lies in upper/ with the ids that it has outside; the mount's own root
// is that folder.
UniqueFd OpenLayer(const Host& host, const char* path) {
  return UniqueFd(sys::OpenAt2(host.store.get(), path, O_RDONLY | O_DIRECTORY,
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
}

Result<> GiveUpper(int upper, const UserNamespacePlan& owner) {
  if (fchown(upper, owner.owner_uid, owner.owner_gid) != 0) return FailErrno(Step::kScratchFolder);
  return {};
}

}  // namespace

Result<UniqueFd> MakeOverlay(const Host& host, const List<const char*>& layers, int upper_parent_fd,
                             Upper upper, const char* label, const Mapping* mapping,
                             std::string* kernel_log) {
  const auto scratch = OpenUpperAndWork(upper_parent_fd);
  if (!scratch) return std::unexpected(scratch.error());
  if (mapping != nullptr) {
    if (auto given = GiveUpper(scratch->upper.get(), mapping->owner); !given) {
      return std::unexpected(given.error());
    }
  }
  std::vector<UniqueFd> opened;
  OverlayParts parts;
  parts.upper = scratch->upper.get();
  parts.work = scratch->work.get();
  parts.kind = upper;
  parts.label = label;
  for (uint32_t i = layers.count; i-- > 0;) {
    UniqueFd layer = OpenLayer(host, layers.items[i]);
    if (!layer) return FailErrno(Step::kOverlay, i);
    if (mapping != nullptr) {
      auto mapped = MapFolder(layer.get(), mapping->user_namespace);
      if (!mapped) return Fail(mapped.error().step, mapped.error().error, kNoMountItem);
      layer = std::move(*mapped);
    }
    opened.push_back(std::move(layer));
    parts.lower.push_back(opened.back().get());
  }
  if (mapping == nullptr) return MountOverlay(host, parts, kernel_log);
  auto mount = MountDetachedLayers(host, parts, kernel_log);
  // Overlays take no such layers before 5.19.
  if (!mount && mount.error().error == EINVAL) {
    return Fail(Step::kMapMount, EINVAL, kNoMountItem);
  }
  return mount;
}

Result<UniqueFd> MergeLayers(const Host& host, const std::vector<std::string>& layers,
                             std::string* kernel_log) {
  std::vector<UniqueFd> opened;
  OverlayParts parts;
  for (size_t i = layers.size(); i-- > 0;) {
    opened.push_back(OpenLayer(host, layers[i].c_str()));
    if (!opened.back()) return FailErrno(Step::kOverlay, static_cast<uint32_t>(i));
    parts.lower.push_back(opened.back().get());
  }
  if (opened.size() == 1) return std::move(opened.front());
  return MountOverlay(host, parts, kernel_log);
}

Result<UniqueFd> MountOverlayItem(const Host& host, const MountItem& item, int lower, int folder_fd,
                                  const UserNamespacePlan* owner, const char* label,
                                  std::string* kernel_log) {
  const std::string scratch = item.scratch;
  const bool in_store = scratch.find('/') != std::string::npos;
  const auto folder = OpenScratch(in_store ? host.store.get() : folder_fd, item.scratch);
  if (!folder) return std::unexpected(folder.error());
  if (const auto made = MakeScratch(folder->get()); !made) return std::unexpected(made.error());
  const auto pair = OpenUpperAndWork(folder->get());
  if (!pair) return std::unexpected(pair.error());

  if (owner != nullptr) {
    if (auto given = GiveUpper(pair->upper.get(), *owner); !given) {
      return std::unexpected(given.error());
    }
  }
  OverlayParts parts = {.lower = {lower}, .upper = pair->upper.get(), .work = pair->work.get()};
  parts.label = label;
  return MountDetachedLayers(host, parts, kernel_log);
}

}  // namespace caisson::launch
