// SPDX-License-Identifier: Apache-2.0
// answer.c: work, grouped by task, as protobuf messages in an arena.
#include "answer.h"

#include "dtf/v1/node.nrpc.h"

#include <stdlib.h>

void answer_init(struct answer *a, struct arena *arena)
{
    *a = (struct answer){.arena = arena};
}

static Dtf__V1__Work *make_work(struct arena *arena, const struct state_work *in)
{
    Dtf__V1__Work *w = arena_alloc(arena, sizeof *w);
    dtf__v1__work__init(w);
    w->subtask_id = in->seq;
    w->attempt = in->attempt;
    w->timeout_ms = in->timeout_ms;
    w->param.data = (uint8_t *)in->param.data;
    w->param.len = in->param.bytes;
    return w;
}

void answer_add(struct answer *a, const struct state_work *work, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && work[i + n].task == work[i].task; n++)
            ;
        Dtf__V1__TaskWork *t = arena_alloc(a->arena, sizeof *t);
        dtf__v1__task_work__init(t);
        t->task_id = work[i].task;
        t->type = (char *)work[i].type;
        t->n_work = n;
        t->work = arena_alloc(a->arena, n * sizeof *t->work);
        for (size_t k = 0; k < n; k++)
            t->work[k] = make_work(a->arena, &work[i + k]);
        mem_grow(&a->tasks, &a->task_capacity, a->task_count + 1, sizeof(Dtf__V1__TaskWork *));
        a->tasks[a->task_count++] = t;
    }
}

void answer_send(struct answer *a, struct exchange *x, const uint64_t *cancels, size_t cancel_count)
{
    Dtf__V1__ExchangeResponse r = DTF__V1__EXCHANGE_RESPONSE__INIT;
    r.n_tasks = a->task_count;
    r.tasks = a->tasks;
    r.n_cancel_tasks = cancel_count;
    r.cancel_tasks = (uint64_t *)cancels;
    r.stale = x->stale;
    dtf_v1_node_service_exchange_reply(x->call, &r);
    free(a->tasks);
    *a = (struct answer){0};
}
