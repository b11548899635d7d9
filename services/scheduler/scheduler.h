// SPDX-License-Identifier: Apache-2.0
// scheduler.h: the role that gives subtasks to executor nodes and notices when one is gone.
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include "env.h"

struct scheduler;

struct scheduler *scheduler_create(const struct env *env);
int64_t scheduler_step(void *self, int64_t now_ms);
struct loop *scheduler_loop(struct scheduler *s);
void scheduler_hint(struct scheduler *s, const struct state_hint *hint);
void scheduler_start(struct scheduler *s);
void scheduler_stop(struct scheduler *s);
void scheduler_destroy(struct scheduler *s); // answers the parked calls UNAVAILABLE

// The NodeService handlers' way in; any thread.
void scheduler_offer(void *scheduler, struct exchange *x); // answers x->call
void scheduler_register(struct scheduler *s, struct nrpc_call *call, const Dtf__V1__RegisterRequest *request);
void scheduler_leave(struct scheduler *s, struct nrpc_call *call, const Dtf__V1__LeaveRequest *request);
void scheduler_reload_groups(struct scheduler *s);

#endif
