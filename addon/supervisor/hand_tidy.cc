// zone: native
#include "supervisor/hand_tidy.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "launch/cgroup_files.h"
#include "supervisor/hand_start.h"
#include "supervisor/kernel.h"
#include "supervisor/log_file.h"
#include "supervisor/remove_tree.h"

namespace caisson {

namespace {

// A group may serve again when nothing runs in it and nothing was made in it.
bool IsEmptyGroup(const launch::Host& host, const std::string& name) {
  for (const launch::Hierarchy& hierarchy : host.hierarchies) {
    if (!hierarchy.always) continue;
    struct stat info = {};
    if (fstatat(hierarchy.folder.get(), name.c_str(), &info, 0) != 0) return false;
    if (info.st_nlink != 2) return false;  // "." and its name: no groups below
    UniqueFd members(
        openat(hierarchy.folder.get(), (name + "/cgroup.procs").c_str(), O_RDONLY | O_CLOEXEC));
    char byte = 0;
    if (!members || read(members.get(), &byte, 1) != 0) return false;
    // What was counted there is not to be told of the next one.
    const bool counts = (hierarchy.controls & Bit(protocol::Control::kMemory)) != 0;
    if (counts && launch::OomKills(host, name) != 0) return false;
  }
  return true;
}

// Charges outlive whoever made them: caches, what the kernel keeps for itself. So few of them,
// which go as soon as the memory is wanted, take nothing from the next one.
bool IsCharged(const launch::Host& host, const launch::Hierarchy& memory, const std::string& name) {
  constexpr uint64_t kFew = 1 << 20;
  constexpr uint64_t kShare = 64;
  const auto bytes = [&](const char* file_v1, const char* file_v2) {
    const std::string file = name + (memory.v2 ? file_v2 : file_v1);
    const std::string text = launch::ReadGroupFile(memory.folder.get(), file.c_str());
    return text.starts_with("max") ? UINT64_MAX : strtoull(text.c_str(), nullptr, 10);
  };
  const uint64_t most = bytes("/memory.limit_in_bytes", "/memory.max");
  return bytes("/memory.usage_in_bytes", "/memory.current") > std::min(kFew, most / kShare) ||
         launch::OomKills(host, name) != 0;
}

// Where too much is charged the next one begins with a new group, which on v2 is a whole one.
bool RenewCharged(const launch::Host& host, const std::string& name, uint64_t controls,
                  uint32_t* recycled) {
  constexpr uint64_t kCharged = Bit(protocol::Control::kMemory) | Bit(protocol::Control::kIo) |
                                Bit(protocol::Control::kHugepages);
  for (const launch::Hierarchy& hierarchy : host.hierarchies) {
    const uint64_t charged = hierarchy.controls & controls & kCharged;
    if (charged == 0) continue;
    if (charged == Bit(protocol::Control::kMemory) && !IsCharged(host, hierarchy, name)) continue;
    const int parent = hierarchy.folder.get();
    if (hierarchy.v2 || unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 ||
        mkdirat(parent, name.c_str(), 0755) != 0) {
      return false;
    }
    *recycled |= kRecycledBare;
  }
  *recycled |= kRecycledGroup;
  return true;
}

// Link counts would be quicker, but not every file system counts folders.
bool HoldsOnly(int folder, std::initializer_list<std::string_view> names) {
  for (;;) {
    alignas(8) char buffer[512];
    const long bytes = syscall(SYS_getdents64, folder, buffer, sizeof buffer);
    if (bytes <= 0) return bytes == 0;
    for (long at = 0; at < bytes;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != ".." && std::ranges::find(names, name) == names.end())
        return false;
    }
  }
}

// An upper folder is as new when the container left nothing in it, nor changed anything of it: its
// mode, owner, attributes and times are those of the container's "/". A change in the tick of the
// clock that it was made in does not show in its times.
bool IsUntouched(int upper) {
  struct statx info = {};
  if (statx(upper, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &info) != 0) return false;
  const bool changed =
      (info.stx_mask & STATX_BTIME) != 0 && (info.stx_ctime.tv_sec != info.stx_btime.tv_sec ||
                                             info.stx_ctime.tv_nsec != info.stx_btime.tv_nsec);
  return !changed && (info.stx_mode & 07777) == 0755 && info.stx_uid == 0 && info.stx_gid == 0 &&
         flistxattr(upper, nullptr, 0) <= 0 && HoldsOnly(upper, {});
}

// With the mark of an ephemeral overlay in it, the kernel takes no folder again.
bool RemoveMark(int folder) {
  const UniqueFd work(sys::OpenAt2(folder, "work/work", O_PATH | O_DIRECTORY, kernel::kBeneath));
  if (!work) return errno == ENOENT;
  if (unlinkat(work.get(), "incompat/volatile/dirty", 0) != 0) return errno == ENOENT;
  return unlinkat(work.get(), "incompat/volatile", AT_REMOVEDIR) == 0 &&
         unlinkat(work.get(), "incompat", AT_REMOVEDIR) == 0;
}

// `mounted`: an overlay on it goes on, the same one.
bool RecycleFolder(const HandContext& context, const std::string& path, bool mounted) {
  auto folder =
      OpenStoreFolder(context.host.store.get(), path, Missing::kFail, Step::kScratchFolder);
  if (!folder) return false;
  // Volumes and overlay mounts of the container may have put folders of their own beside upper/.
  UniqueFd upper(sys::OpenAt2(folder->get(), "upper", O_RDONLY | O_DIRECTORY, kernel::kBeneath));
  return upper && IsUntouched(upper.get()) && HoldsOnly(folder->get(), {"upper", "work"}) &&
         (mounted || RemoveMark(folder->get()));
}

void TidyGroup(const launch::Host& host, const std::string& group, uint64_t controls, Fate fate,
               Message* reply) {
  if (group.empty()) return;
  const bool again = fate == Fate::kRecycle && IsEmptyGroup(host, group) &&
                     RenewCharged(host, group, controls, &reply->recycled);
  if (again) return;
  if (fate == Fate::kIfEmpty) {
    // What an exec left running goes on in its group, until the container ends.
    for (const launch::Hierarchy& hierarchy : host.hierarchies) {
      (void)unlinkat(hierarchy.folder.get(), group.c_str(), AT_REMOVEDIR);
    }
  } else if (auto removed = launch::RemoveCgroup(host, group); !removed) {
    reply->failure = removed.error();
  }
}

// True: `reply` holds what the next container on `folder` needs.
bool Recycle(const HandContext& context, const std::string& folder, UniqueFd rootfs,
             Message* reply) {
  if (rootfs && RecycleFolder(context, folder, true)) {
    if (UniqueFd entry = NamespaceOf(context.host, rootfs.get())) {
      reply->fd(Role::kRootfs) = std::move(rootfs);
      reply->fd(Role::kMountNamespace) = std::move(entry);
      return true;
    }
  }
  rootfs.reset();
  return RecycleFolder(context, folder, false);
}

void TidyFolder(const HandContext& context, const std::string& folder, Fate fate, UniqueFd rootfs,
                Message* reply) {
  if (folder.empty() || fate == Fate::kLeave) return;
  if (fate == Fate::kRecycle && Recycle(context, folder, std::move(rootfs), reply)) {
    reply->recycled |= kRecycledFolder;
    return;
  }
  rootfs.reset();
  const auto removed =
      RemoveFolder(context.host.store.get(), folder, "trash/" + context.runtime_id);
  if (!removed) reply->failure = removed.error();
}

}  // namespace

void Tidy(const HandContext& context, Message& job, Message* reply) {
  // First, and quickly: the next start waits for the lock of all cgroups when it joins its own.
  TidyGroup(context.host, job.First(JobTag::kGroup), job.Number(JobTag::kControls),
            static_cast<Fate>(job.Number(JobTag::kGroupFate)), reply);
  UniqueFd rootfs = std::move(job.fd(Role::kRootfs));
  // The last descriptors of mounts and namespaces: this is where their tear-down happens.
  for (UniqueFd& fd : job.fds) fd.reset();
  job.more.clear();
  TidyFolder(context, job.First(JobTag::kFolder),
             static_cast<Fate>(job.Number(JobTag::kFolderFate)), std::move(rootfs), reply);
}

void RotateLog(const launch::Host& host, Message& job, Message* reply) {
  auto next = RotateLogFile(host.store.get(), job.First(JobTag::kFolder),
                            static_cast<uint32_t>(job.Number(JobTag::kCount)));
  if (next) {
    reply->fd(Role::kLog) = std::move(*next);
  } else {
    reply->failure = next.error();
  }
}

}  // namespace caisson
