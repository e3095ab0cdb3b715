// zone: native
#pragma once

#include "launch/launch.h"
#include "supervisor/job.h"

// Jobs of a hand that start something. Each fills `reply`, also with what failed.
namespace caisson {

void StartContainer(const launch::Host& host, Message& job, Message* reply);
void StartExec(const launch::Host& host, Message& job, Message* reply);
void OpenSources(Message& job, Message* reply);
// A mount namespace for the next container on the detached `rootfs`; invalid where there are none.
[[nodiscard]] UniqueFd NamespaceOf(const launch::Host& host, int rootfs);
void MakeSlot(const launch::Host& host, Message& job, Message* reply);

}  // namespace caisson
