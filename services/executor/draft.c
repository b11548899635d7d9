// SPDX-License-Identifier: Apache-2.0
// draft.c: results and references.
#include "draft.h"

static Dtf__V1__Result *result_message(struct arena *a, const struct item *i)
{
    Dtf__V1__Result *m = arena_alloc(a, sizeof *m);
    dtf__v1__result__init(m);
    m->subtask_id = i->seq;
    m->attempt = i->attempt;
    m->kind = (Dtf__V1__ResultKind)i->kind;
    m->code = i->code;
    m->message = i->message ? i->message : m->message;
    m->body.data = (uint8_t *)i->body;
    m->body.len = i->body_bytes;
    m->run_us = (uint64_t)(i->run_us > 0 ? i->run_us : 0);
    return m;
}

void draft_results(struct draft *d, const struct item_list *results)
{
    if (!results->count)
        return;
    d->request.results = arena_alloc(&d->arena, results->count * sizeof *d->request.results);
    for (const struct item *i = results->first, *end; i; i = end) {
        size_t n = 0;
        for (end = i; end && end->task == i->task; end = end->next)
            n++;
        Dtf__V1__TaskResults *t = arena_alloc(&d->arena, sizeof *t);
        dtf__v1__task_results__init(t);
        t->task_id = i->task;
        t->results = arena_alloc(&d->arena, n * sizeof *t->results);
        for (const struct item *k = i; k != end; k = k->next)
            t->results[t->n_results++] = result_message(&d->arena, k);
        d->request.results[d->request.n_results++] = t;
    }
}

void draft_ref(void *user, uint64_t task, uint64_t seq, uint32_t attempt)
{
    struct draft *d = user;
    Dtf__V1__SubtaskRef *m = arena_alloc(&d->arena, sizeof *m);
    dtf__v1__subtask_ref__init(m);
    m->task_id = task;
    m->subtask_id = seq;
    m->attempt = attempt;
    mem_grow(&d->refs, &d->ref_capacity, d->ref_count + 1, sizeof(Dtf__V1__SubtaskRef *));
    d->refs[d->ref_count++] = m;
}

Dtf__V1__SubtaskRef **draft_take_refs(struct draft *d, size_t *count)
{
    Dtf__V1__SubtaskRef **refs = arena_dup(&d->arena, d->refs, d->ref_count * sizeof *d->refs);
    *count = d->ref_count;
    d->ref_count = 0;
    return refs;
}
