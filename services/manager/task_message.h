// SPDX-License-Identifier: Apache-2.0
// task_message.h: dtf.v1.Task as an answer, from a record and, while the task is under way, its progress.
#ifndef MANAGER_TASK_MESSAGE_H
#define MANAGER_TASK_MESSAGE_H

#include "dtf/v1/task.pb-c.h"
#include "env.h"

// What it points to lives in the arena. p: NULL or not found: only the record counts; unknown: why_unknown
// says why. with_param: unpacks TaskParam whole (type_param included).
Dtf__V1__Task *task_message(const struct records_task *t, const struct state_progress *p,
                            const char *why_unknown, bool with_param, struct arena *a);

#endif
