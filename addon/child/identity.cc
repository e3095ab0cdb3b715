// zone: child
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"
#include "child/steps.h"
#include "child/user.h"
#include "sys/credentials.h"
#include "sys/path.h"

namespace caisson::child {

int BecomeRoot() noexcept {
  if (sys::SetGroups(0, nullptr) != 0 || sys::SetResGid(0) != 0 || sys::SetResUid(0) != 0) {
    return errno;
  }
  return 0;
}

int AwaitIdMap(Context& context) noexcept {
  if (context.id_map < 0) return 0;
  int error = 0;
  const ssize_t got = read(context.id_map, &error, sizeof error);
  if (got != sizeof error) return got < 0 ? errno : ESRCH;
  if (error != 0) return error;
  context.oom_score_set = true;
  return BecomeRoot();
}

int FindUser(Context& context) noexcept {
  const ProcessPlan& process = *context.process;
  uint32_t failed_group = 0;
  const int error =
      ResolveUser(context.rootfs, process.user, process.add_groups, &context.ids, &failed_group);
  if (error != 0) {
    if (failed_group != 0) {
      context.step = Step::kGroups;
      context.index = failed_group - 1;
    }
    return error;
  }
  if (!process.set_home) return 0;
  for (uint32_t i = 0; i < process.envc; ++i) {
    if (strncmp(process.envp[i], "HOME=", 5) == 0) return 0;
  }
  const char* home = context.ids.home[0] == '\0' ? "/" : context.ids.home;
  memcpy(context.home_variable, "HOME=", 5);
  memcpy(context.home_variable + 5, home, strlen(home) + 1);
  process.envp[process.envc] = context.home_variable;
  return 0;
}

int DropBoundingSet(Context& context) noexcept {
  const uint64_t unwanted = context.known_capabilities & ~context.process->caps.bounding;
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((unwanted >> capability & 1) == 0 || !CAISSON_GUARD(kBoundingSet)) continue;
    if (sys::Prctl(PR_CAPBSET_DROP, capability) != 0) return errno;
  }
  // Or setresuid() would take the permitted set with it; execve() clears this again.
  return sys::Prctl(PR_SET_KEEPCAPS, 1) == 0 ? 0 : errno;
}

int ChangeGroups(Context& context) noexcept {
  const UserIds& ids = context.ids;
  if (sys::SetGroups(ids.group_count, ids.groups) == 0) return 0;
  const int error = errno;
  // A user namespace mapped without helpers may not set groups (user_namespaces(7), "setgroups"),
  // and knows none but its own. Groups that were asked for by name are another matter.
  const bool impossible = context.one_group && (error == EPERM || error == EINVAL);
  return impossible && context.process->add_groups.count == 0 ? 0 : error;
}

int ChangeIds(Context& context) noexcept {
  if (sys::SetResGid(context.ids.gid) != 0) return errno;
  return sys::SetResUid(context.ids.uid) == 0 ? 0 : errno;
}

int SetCapabilities(Context& context) noexcept {
  Capabilities caps = context.process->caps;
  const uint64_t known = context.known_capabilities;
  // execve(2) takes them from everybody but root anyway, save that with no_new_privs a program with
  // file capabilities would keep those that we still had.
  if (context.ids.uid != 0 && caps.ambient == 0) caps.effective = caps.permitted = 0;
  if (!CAISSON_GUARD(kNotInheritable)) caps.inheritable = caps.permitted;
  if (sys::CapSet(caps.effective & known, caps.permitted & known, caps.inheritable & known) != 0) {
    return errno;
  }
  if (sys::Prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL) != 0) return errno;
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((caps.ambient & known & uint64_t{1} << capability) == 0) continue;
    if (sys::Prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability) != 0) return errno;
  }
  return 0;
}

int ForbidNewPrivileges(Context& context) noexcept {
  if (!context.process->no_new_privileges || !CAISSON_GUARD(kNoNewPrivileges)) return 0;
  return sys::Prctl(PR_SET_NO_NEW_PRIVS, 1) == 0 ? 0 : errno;
}

namespace {

int LoadFilter(const ProcessPlan& process) noexcept {
  if (process.seccomp.count == 0 || !CAISSON_GUARD(kFilter)) return 0;
  const sock_fprog program = {.len = static_cast<unsigned short>(process.seccomp.count),
                              .filter = const_cast<sock_filter*>(process.seccomp.items)};
  return sys::LoadSeccomp(&program) == 0 ? 0 : errno;
}

}  // namespace

int LoadFilterEarly(Context& context) noexcept {
  return context.process->no_new_privileges ? 0 : LoadFilter(*context.process);
}

int LoadFilterLate(Context& context) noexcept {
  return context.process->no_new_privileges ? LoadFilter(*context.process) : 0;
}

}  // namespace caisson::child
