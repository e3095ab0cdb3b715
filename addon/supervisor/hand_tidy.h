// zone: native
#pragma once

#include "supervisor/hand.h"
#include "supervisor/job.h"

// Jobs of a hand that put things away.
namespace caisson {

void Tidy(const HandContext& context, Message& job, Message* reply);
void RotateLog(const launch::Host& host, Message& job, Message* reply);

}  // namespace caisson
