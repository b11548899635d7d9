// SPDX-License-Identifier: Apache-2.0
// counters_message.h: a task's counters as a message.
#ifndef SERVICES_COUNTERS_MESSAGE_H
#define SERVICES_COUNTERS_MESSAGE_H

#include "base/mem.h"
#include "dtf/v1/task.pb-c.h"
#include "model/task.h"

Dtf__V1__Counters *counters_message(const struct model_counters *c, struct arena *a); // in the arena

#endif
