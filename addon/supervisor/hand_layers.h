// zone: native
#pragma once

#include "launch/launch.h"
#include "supervisor/job.h"

// Jobs of a hand that make layers. Each fills `reply`, also with what failed.
namespace caisson {

// These run as a worker, a child of the supervisor: they take long, and the hand has other
// work.
void StartImport(const launch::Host& host, Message& job, Message* reply);
void StartUnpack(const launch::Host& host, Message& job, Message* reply);
void StartSync(const launch::Host& host, Message* reply);
void StartExport(const launch::Host& host, Message& job, Message* reply);
void StartDiff(const launch::Host& host, Message& job, Message* reply);
// What a worker has made gets its name.
void PublishLayer(const launch::Host& host, Message& job, Message* reply);
void SettleLayer(const launch::Host& host, Message& job, Message* reply);

}  // namespace caisson
