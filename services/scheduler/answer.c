// SPDX-License-Identifier: Apache-2.0
// answer.c: work, grouped by task, as protobuf messages in an arena.
#include "answer.h"

#include "dtf.h"
#include "dtf/v1/node.nrpc.h"

#include <stdlib.h>

void answer_init(struct answer *a, struct arena *arena, const struct sched *sched)
{
    *a = (struct answer){.arena = arena, .sched = sched, .budget = budget_of_message()};
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

static Dtf__V1__TaskWork *make_task(struct answer *a, const struct state_work *work, size_t count)
{
    Dtf__V1__TaskWork *t = arena_alloc(a->arena, sizeof *t);
    dtf__v1__task_work__init(t);
    t->task_id = work->task;
    t->type = (char *)work->type;
    t->cost_us = (uint64_t)sched_cost_us(a->sched, work->task);
    t->n_work = count;
    t->work = arena_alloc(a->arena, count * sizeof *t->work);
    for (size_t k = 0; k < count; k++)
        t->work[k] = make_work(a->arena, &work[k]);
    return t;
}

// At the most what work takes in the message: measuring it exactly would cost as much as packing it.
static size_t room_of(const struct state_work *work, size_t count)
{
    enum { WORK_ROOM = 48, TASK_ROOM = 64 + DTF_NAME_MAX }; // numbers, tags and lengths; with the type's name
    size_t bytes = TASK_ROOM;
    for (size_t i = 0; i < count; i++)
        bytes += work[i].param.bytes + WORK_ROOM;
    return bytes;
}

bool answer_add(struct answer *a, const struct state_work *work, size_t count)
{
    size_t before = a->task_count, bytes = 0;
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && work[i + n].task == work[i].task; n++)
            ;
        mem_grow(&a->tasks, &a->task_capacity, a->task_count + 1, sizeof(Dtf__V1__TaskWork *));
        a->tasks[a->task_count++] = make_task(a, &work[i], n);
        bytes += room_of(&work[i], n);
    }
    if (count && !budget_take(&a->budget, bytes))
        a->task_count = before;
    return a->task_count > before || !count;
}

Dtf__V1__SubtaskRef **answer_dropped(struct arena *arena, Dtf__V1__SubtaskRef *const *refs, const bool *kept,
                                     size_t count, size_t *dropped)
{
    Dtf__V1__SubtaskRef **out = arena_alloc(arena, (count + 1) * sizeof *out);
    *dropped = 0;
    for (size_t i = 0; kept && i < count; i++)
        if (!kept[i])
            out[(*dropped)++] = refs[i];
    return out;
}

void answer_send(struct answer *a, struct exchange *x, const uint64_t *cancels, size_t cancel_count)
{
    Dtf__V1__ExchangeResponse r = DTF__V1__EXCHANGE_RESPONSE__INIT;
    r.n_tasks = a->task_count;
    r.tasks = a->tasks;
    r.n_cancel_tasks = cancel_count;
    r.cancel_tasks = (uint64_t *)cancels;
    r.stale = x->stale;
    r.carried = x->carried;
    r.quarantine = (char *)(a->quarantine ? a->quarantine : "");
    r.n_later_tasks = x->later_count;
    r.later_tasks = x->later;
    r.dropped = answer_dropped(a->arena, x->request->holding, x->kept, x->request->n_holding, &r.n_dropped);
    dtf_v1_node_service_exchange_reply(x->call, &r);
    free(a->tasks);
    *a = (struct answer){0};
}
