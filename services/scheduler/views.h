// SPDX-License-Identifier: Apache-2.0
// views.h: the scheduler's picture of all tasks that may have something to dispatch, fed by hints, repaired
// by reading. One thread.
#ifndef SCHEDULER_VIEWS_H
#define SCHEDULER_VIEWS_H

#include "base/heap.h"
#include "env.h"
#include "finds.h"
#include "plugin/registry.h"
#include "sched/sched.h"

struct view;

struct views {
    const struct env *env;
    struct sched *sched;
    struct view *all;    // hash by task
    struct heap retries; // by the time when a subtask becomes ready
    struct heap rests;   // by the time when a task is to be asked again
    uint64_t round;      // of refreshing
    bool walks;          // a round has begun,
    uint64_t after;      // and has got so far
    bool walk_told;      // told, when it began
    bool told;           // that there may be what no hint told of: at the start, after an outage
    struct finds finds;
};

void views_init(struct views *v, const struct env *env);
void views_reset(struct views *v); // forgets all it knows
void views_fini(struct views *v);
void views_take(struct views *v, const struct state_view *in); // news of one task; old news is ignored
void views_drop(struct views *v, const struct state_view *in); // unless a newer one was told
void views_forget(struct views *v, uint64_t task);             // it will dispatch nothing more
// Reads the next page of all; *more: these were not the last.
int views_refresh(struct views *v, int64_t now_ms, bool *more, struct nrpc_status *st);
// Reads the tasks again for which a retry became due; returns when the next will be.
int64_t views_ripen(struct views *v, int64_t now_ms);
const char *views_type(struct views *v, uint64_t task); // NULL: unknown

// before_dispatch has declined this many subtasks of a task and accepted none: after some the task rests. It
// has accepted one, or what it goes by may have changed: it is asked again.
void views_declined(struct views *v, uint64_t task, size_t count, int64_t now_ms);
void views_may_accept(struct views *v, uint64_t task);

#endif
