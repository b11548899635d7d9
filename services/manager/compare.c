// SPDX-License-Identifier: Apache-2.0
// compare.c: from the state to the records: what the state has, and no record of it is under way.
//
// That is so when the state is older than the records (the task has ended meanwhile), or the records are
// older than the state (they do not know the task, or have given its number to another). The records are
// right: who restored them has decided so. Numbers go on above all that either has given.
#include "base/log.h"
#include "manager_internal.h"

// Why what the state has must not go on; NULL: it may. A record that has ended is asked for before the state
// is: ends are recorded of closed tasks only.
static const char *why_not(const struct records_brief *b, const struct state_progress *p)
{
    if (!b->status)
        return "the records do not know it";
    if (p->born_ms && p->born_ms != b->created_ms)
        return "it is another task, which had this number";
    return model_status_is_terminal(b->status) ? "it has ended" : NULL;
}

static int compare_some(struct repair *r, const uint64_t *ids, size_t count, struct arena *a,
                        struct nrpc_status *st)
{
    struct records *records = r->m->env->records;
    struct state *state = r->m->env->state;
    struct records_brief *b = arena_calloc(a, (count + 1) * sizeof *b);
    struct state_progress *p = arena_calloc(a, (count + 1) * sizeof *p);
    int code = records->ops->briefs(records, ids, count, b, st);
    if (code == NRPC_OK)
        state->ops->progress(state, ids, count, a, p, &r->unheard);
    for (size_t i = 0; code == NRPC_OK && i < count; i++) {
        const char *why = p[i].found ? why_not(&b[i], &p[i]) : NULL;
        if (p[i].unknown)
            repair_failed(r, ids[i]);
        if (why && p[i].phase < MODEL_CLOSED && p[i].outcome != MODEL_OUTCOME_DROPPED)
            code = repair_drop(r->m, ids[i], why, st);
    }
    return code;
}

int compare_slice(struct repair *r, bool *more, struct nrpc_status *st)
{
    struct state *state = r->m->env->state;
    uint64_t *ids;
    size_t count = 0;
    struct arena a;
    arena_init(&a, 0);
    int code =
        state->ops->in_phase(state, (enum model_phase)r->phase, r->after, REPAIR_SLICE, &a, &ids, &count, st);
    if (code == NRPC_OK && count)
        code = compare_some(r, ids, count, &a, st);
    r->after = code == NRPC_OK && count ? ids[count - 1] : 0;
    r->phase += !count;
    *more = r->phase < MODEL_CLOSED;
    arena_fini(&a);
    return code;
}

int compare_numbers(struct manager *m, struct nrpc_status *st)
{
    struct state *state = m->env->state;
    struct records *records = m->env->records;
    struct model_marks *known = &m->marks, were;
    if (!state->disposable)
        return NRPC_OK;
    uint64_t given = atomic_load(&records->task_given);
    known->task = given > known->task ? given : known->task;
    int code = state->ops->marks(state, known, st);
    if (code == NRPC_OK)
        code = records->ops->marks(records, known, &were, st);
    if (code)
        return code;
    if (were.task < known->task || were.event < known->event) {
        log_warn("the records have gone back in time (a backup was restored, or a replica took over that "
                 "lagged): tasks above %llu that were created since are lost; numbers go on above %llu",
                 (unsigned long long)were.task, (unsigned long long)known->task);
        m->compare_asked = m->repair_asked = true;
        m->next_repair_ms = 0;
    }
    known->task = were.task > known->task ? were.task : known->task;
    known->event = were.event > known->event ? were.event : known->event;
    known->node = were.node > known->node ? were.node : known->node;
    return NRPC_OK;
}
