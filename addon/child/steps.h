// zone: child
#pragma once

#include "child/context.h"

// One function per step, in the files of their concern. Each returns 0 or an errno value; what it
// does not say otherwise is a no-op when the plan does not ask for it.
namespace caisson::child {

// cgroup.cc
int JoinCgroup(Context& context) noexcept;
int EnterCgroupNamespace(Context& context) noexcept;

// identity.cc
int AwaitIdMap(Context& context) noexcept;
int BecomeRoot() noexcept;  // of a user namespace that was entered just now

// network.cc
int JoinNetwork(Context& context) noexcept;
int JoinPrepared(Context& context) noexcept;
int RaiseLoopback(Context& context) noexcept;

// root.cc
int MakeMountsPrivate(Context& context) noexcept;
int AttachRootfs(Context& context) noexcept;
int EnterMountNamespace(Context& context) noexcept;
int ShowSysfs(Context& context) noexcept;
int CoverWithDevices(Context& context) noexcept;
int EnterRootfs(Context& context) noexcept;
int MakeRootReadOnly(Context& context) noexcept;

// mounts.cc, devices.cc, files.cc, masks.cc
int MakeProc(Context& context) noexcept;
int ApplyMounts(Context& context) noexcept;
int MakeDeviceNodes(Context& context) noexcept;
int PlaceFiles(Context& context) noexcept;
int MaskPaths(Context& context) noexcept;
int ProtectPaths(Context& context) noexcept;

// settings.cc
int OpenProc(Context& context) noexcept;
int WriteSysctls(Context& context) noexcept;
int SetOomScore(Context& context) noexcept;
int SetHostname(Context& context) noexcept;
int SetRlimits(Context& context) noexcept;

// time.cc
int EnterTimeNamespace(Context& context) noexcept;

// label.cc
int LabelKeys(Context& context) noexcept;
int SetLabel(Context& context) noexcept;

// identity.cc
int FindUser(Context& context) noexcept;
int DropBoundingSet(Context& context) noexcept;
int ChangeGroups(Context& context) noexcept;
int ChangeIds(Context& context) noexcept;
int SetCapabilities(Context& context) noexcept;
int ForbidNewPrivileges(Context& context) noexcept;
int LoadFilterEarly(Context& context) noexcept;  // without no_new_privs
int LoadFilterLate(Context& context) noexcept;   // with it

// terminal.cc
int OpenTerminal(Context& context) noexcept;
int BindConsole(Context& context) noexcept;
int TakeTerminal(Context& context) noexcept;

// stdio.cc
int SetUpStdio(Context& context) noexcept;
int StartSession(Context& context) noexcept;
int NewKeyring(Context& context) noexcept;

// workdir.cc
int MakeWorkdir(Context& context) noexcept;
int EnterWorkdir(Context& context) noexcept;
int VerifyWorkdir(Context& context) noexcept;

// hooks.cc
int AwaitHooks(Context& context) noexcept;
int RunCreateHooks(Context& context) noexcept;
int AwaitStart(Context& context) noexcept;
int RunStartHooks(Context& context) noexcept;

// execute.cc
int DieWithParent(Context& context) noexcept;
int CloseDescriptors(Context& context) noexcept;
int Execute(Context& context) noexcept;  // returns only when it failed

// join.cc
int PrepareSubreaper(Context& context) noexcept;
int JoinNamespaces(Context& context) noexcept;
int SplitFromSubreaper(Context& context) noexcept;  // the subreaper does not come back

}  // namespace caisson::child
