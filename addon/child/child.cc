// zone: child
#include "child/child.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/steps.h"
#include "sys/process.h"

namespace caisson::child {
namespace {

// The start of a container, in order. Moving a line is a security change.
constexpr ChildStep kLaunchSteps[] = {
    // In its cgroup before anything costs anything, and before the cgroup namespace is rooted
    // there.
    {Step::kCgroupJoin, JoinCgroup},
    // Nobody without ids can make files, or what belongs to a user namespace.
    {Step::kMapIds, AwaitIdMap},
    {Step::kCgroupNamespace, EnterCgroupNamespace},
    // Before sysfs, mqueue and the net sysctls, which show the namespaces of whoever opens them.
    {Step::kNetJoin, JoinNetwork},
    {Step::kJoinNamespaces, JoinPrepared},
    {Step::kLoopback, RaiseLoopback},

    // While ours is in sight.
    {Step::kMount, MakeProc},
    {Step::kMountNamespace, EnterMountNamespace},
    // Nothing mounted from here on may be seen by anybody else.
    {Step::kPropagation, MakeMountsPrivate},
    {Step::kMount, ShowSysfs},
    {Step::kRootMount, AttachRootfs},
    {Step::kDevices, CoverWithDevices},
    {Step::kMount, ApplyMounts},
    {Step::kDevices, MakeDeviceNodes},
    {Step::kFiles, PlaceFiles},

    // Through a procfs of our own, before masks and read-only paths cover it.
    {Step::kMount, OpenProc},
    {Step::kSysctl, WriteSysctls},
    {Step::kOomScore, SetOomScore},
    {Step::kTimeNamespace, EnterTimeNamespace},
    {Step::kMaskedPath, MaskPaths},
    {Step::kReadOnlyPath, ProtectPaths},

    // Those of the runtime run while we wait; the container's own see the host's tree still.
    {Step::kHook, AwaitHooks},
    {Step::kHook, RunCreateHooks},

    // The host's tree is out of reach from here on.
    {Step::kPivot, EnterRootfs},
    // In another container's pid namespace, without a cgroup: out of what is the host's.
    {Step::kSubreaper, SplitFromSubreaper},
    {Step::kHostname, SetHostname},
    // By the image's passwd and group; before everything that asks who the user is.
    {Step::kUser, FindUser},
    // In the container's own devpts, before it becomes stdio; while we may still mount.
    {Step::kTerminal, OpenTerminal},
    {Step::kTerminal, BindConsole},
    // While we may still give pipes away.
    {Step::kStdio, SetUpStdio},
    {Step::kSession, StartSession},
    {Step::kTerminal, TakeTerminal},
    {Step::kLabel, LabelKeys},
    {Step::kKeyring, NewKeyring},
    {Step::kWorkdir, MakeWorkdir},
    // The last thing written to the root is the working folder.
    {Step::kReadOnlyRoot, MakeRootReadOnly},
    // As root, which may enter what the user may not; and again as the user (VerifyWorkdir).
    {Step::kWorkdir, EnterWorkdir},
    // Late, for a low limit would make our own steps fail; before CAP_SYS_RESOURCE goes.
    {Step::kRlimit, SetRlimits},

    // It counts from the execve on.
    {Step::kLabel, SetLabel},
    // Without no_new_privs a filter needs CAP_SYS_ADMIN.
    {Step::kSeccomp, LoadFilterEarly},
    // capabilities(7): the bounding set needs CAP_SETPCAP, groups CAP_SETGID; the uid goes last.
    {Step::kCapabilities, DropBoundingSet},
    {Step::kGroups, ChangeGroups},
    {Step::kCredentials, ChangeIds},
    {Step::kCapabilities, SetCapabilities},
    {Step::kWorkdir, VerifyWorkdir},
    {Step::kNoNewPrivileges, ForbidNewPrivileges},
    // A change of ids clears the parent-death signal.
    {Step::kDieWithParent, DieWithParent},
    {Step::kAwaitStart, AwaitStart},
    {Step::kHook, RunStartHooks},
    {Step::kSeccomp, LoadFilterLate},
    // Nothing of ours survives: the report pipe alone is left, and closes on exec.
    {Step::kCloseDescriptors, CloseDescriptors},
    {Step::kExec, Execute},
};

// A further process of a running container.
constexpr ChildStep kJoinSteps[] = {
    {Step::kCgroupJoin, JoinCgroup},
    // For who may mount in a container that may not.
    {Step::kCgroupNamespace, EnterCgroupNamespace},
    // While a fully visible procfs is in sight, which a masked one in the container is not.
    {Step::kSubreaper, PrepareSubreaper},
    {Step::kJoinNamespaces, JoinNamespaces},
    {Step::kSubreaper, SplitFromSubreaper},

    {Step::kOomScore, SetOomScore},
    {Step::kUser, FindUser},
    {Step::kTerminal, OpenTerminal},
    {Step::kStdio, SetUpStdio},
    {Step::kSession, StartSession},
    {Step::kTerminal, TakeTerminal},
    {Step::kLabel, LabelKeys},
    {Step::kKeyring, NewKeyring},
    {Step::kWorkdir, EnterWorkdir},
    {Step::kRlimit, SetRlimits},
    {Step::kLabel, SetLabel},
    {Step::kSeccomp, LoadFilterEarly},
    {Step::kCapabilities, DropBoundingSet},
    {Step::kGroups, ChangeGroups},
    {Step::kCredentials, ChangeIds},
    {Step::kCapabilities, SetCapabilities},
    {Step::kWorkdir, VerifyWorkdir},
    {Step::kNoNewPrivileges, ForbidNewPrivileges},
    {Step::kDieWithParent, DieWithParent},
    {Step::kSeccomp, LoadFilterLate},
    {Step::kCloseDescriptors, CloseDescriptors},
    {Step::kExec, Execute},
};

// Handlers are the parent's code and ignored signals its taste: neither is the container's. All
// signals are still blocked; Execute() unblocks them.
void ResetSignals(const Context& context) noexcept {
  for (int signal = 1; signal <= 64; ++signal) {
    if ((context.changed_signals >> (signal - 1) & 1) != 0) (void)sys::SetSignalDefault(signal);
  }
}

[[noreturn]] void Run(Context& context, const ChildStep* steps, int count) noexcept {
  for (const int fd : context.parents_ends) {
    if (fd >= 0) (void)close(fd);
  }
  ResetSignals(context);
  (void)umask(0);  // modes are what the steps say; Execute() sets the plan's
  Failure failure;
  for (int position = 0; position < count; ++position) {
    context.step = steps[position].step;
    context.index = 0;
#ifdef CAISSON_TESTING
    const int error = position == fault_position ? EIO : steps[position].run(context);
#else
    const int error = steps[position].run(context);
#endif
    if (error == 0) continue;
    failure = {.step = context.step, .error = error, .index = context.index};
    break;
  }
  // Smaller than PIPE_BUF, so it arrives whole. If nobody reads it, nobody needs it.
  (void)!write(context.report, &failure, sizeof failure);
  _exit(127);
}

template <int kCount>
[[noreturn]] void RunTable(Context& context, const ChildStep (&steps)[kCount]) noexcept {
  Run(context, steps, kCount);
}

}  // namespace

void RunLaunch(Context& context) noexcept {
  RunTable(context, kLaunchSteps);
}
void RunJoin(Context& context) noexcept {
  RunTable(context, kJoinSteps);
}

#ifdef CAISSON_TESTING
int fault_position = -1;
int LaunchStepCount() noexcept {
  return static_cast<int>(sizeof kLaunchSteps / sizeof *kLaunchSteps);
}
int JoinStepCount() noexcept {
  return static_cast<int>(sizeof kJoinSteps / sizeof *kJoinSteps);
}
Step LaunchStepAt(int position) noexcept {
  return kLaunchSteps[position].step;
}
Step JoinStepAt(int position) noexcept {
  return kJoinSteps[position].step;
}
#endif

}  // namespace caisson::child
