// SPDX-License-Identifier: Apache-2.0
// counters_message.c: copies, field by field.
#include "counters_message.h"

Dtf__V1__Counters *counters_message(const struct model_counters *c, struct arena *a)
{
    Dtf__V1__Counters *m = arena_alloc(a, sizeof *m);
    dtf__v1__counters__init(m);
    m->generated = c->generated;
    m->succeeded = c->succeeded;
    m->failed = c->failed;
    m->timed_out = c->timed_out;
    m->cancelled = c->cancelled;
    m->retried = c->retried;
    m->redispatched = c->redispatched;
    m->running = c->running;
    m->queued = c->queued;
    m->generation_done = c->generation_done;
    return m;
}
