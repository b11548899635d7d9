// SPDX-License-Identifier: Apache-2.0
// manager.h: the role that owns a task's life: creates, pauses, resumes, cancels, times out, ends, answers
// questions.
#ifndef MANAGER_H
#define MANAGER_H

#include "dtf/v1/task_service.nrpc.h"
#include "env.h"

struct manager;

struct manager *manager_create(const struct env *env);
int64_t manager_step(void *self, int64_t now_ms);
struct loop *manager_loop(struct manager *m);
void manager_hint(struct manager *m, const struct state_hint *hint);
void manager_start(struct manager *m);
void manager_stop(struct manager *m);
void manager_destroy(struct manager *m); // answers the parked calls UNAVAILABLE

// The handlers of TaskService; their user is the manager. They post to its inbox, so they are NRPC_INLINE.
extern const struct dtf_v1_task_service_handlers manager_handlers;

#endif
