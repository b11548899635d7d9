// SPDX-License-Identifier: Apache-2.0
// review.c: after_execution, after_task_completed.
#include "review.h"

#include "base/log.h"
#include "dtf/v1/task.pb-c.h"
#include "plugin/callback.h"

#include <stdlib.h>

// ---- results

static void call_back(const struct review *r, struct state_settle *e, const struct state_peek *p,
                      struct arena *a, struct dtf_followups *followups)
{
    struct dtf_subtask subtask = {e->ref.task,   e->ref.seq,    e->ref.attempt, p->type,
                                  p->timeout_ms, p->param.data, p->param.bytes};
    struct dtf_result result = {
        (enum dtf_result_kind)e->kind, e->code, e->message, e->body.data, e->body.bytes, e->run_us};
    *followups =
        (struct dtf_followups){.arena = a, .allowed = r->type->conf.iteration == DTF_ITERATION_COLLECTOR};
    bool finished = true;
    r->type->collector->after_execution(r->type->user, &subtask, &result, followups, &finished);
    e->again = !finished;
    e->followup_count = finished ? followups->count : 0;
    struct state_subtask *subtasks = arena_alloc(a, (followups->count + 1) * sizeof *subtasks);
    for (size_t i = 0; i < e->followup_count; i++)
        subtasks[i] = (struct state_subtask){{followups->specs[i].param, followups->specs[i].param_bytes},
                                             model_timeout_ms(followups->specs[i].timeout_ms)};
    e->followups = subtasks;
    followups_fini(followups);
}

// Calls back for what is current, moves it to the front, and returns its number.
static int review_all(struct review *r, struct arena *a, size_t *kept)
{
    struct state_ref *refs = arena_alloc(a, r->count * sizeof *refs);
    struct state_peek *peeks = arena_calloc(a, r->count * sizeof *peeks);
    struct state_holder *by = arena_alloc(a, r->count * sizeof *by);
    for (size_t i = 0; i < r->count; i++) {
        refs[i] = r->entries[i].ref;
        by[i] = r->entries[i].by;
    }
    int code = r->env->state->ops->peek(r->env->state, refs, by, r->count, a, peeks, &r->st);
    *kept = 0;
    for (size_t i = 0; code == NRPC_OK && i < r->count; i++) {
        struct state_settle *e = &r->entries[i];
        if (!peeks[i].current) {
            r->stale++;
            continue;
        }
        struct dtf_followups followups;
        call_back(r, e, &peeks[i], a, &followups);
        r->entries[(*kept)++] = *e;
    }
    return code;
}

void review_run(struct pool_job *job)
{
    struct review *r = (struct review *)job;
    struct arena a;
    size_t kept;
    arena_init(&a, 0);
    if (review_all(r, &a, &kept) == NRPC_OK && kept) {
        enum state_verdict *verdicts = arena_alloc(&a, kept * sizeof *verdicts);
        int code =
            r->env->state->ops->settle(r->env->state, r->env->now_ms(), r->entries, kept, verdicts, &r->st);
        for (size_t i = 0; code == NRPC_OK && i < kept; i++) {
            r->stale += verdicts[i] == STATE_STALE;
            if (verdicts[i] == STATE_UNHEARD)
                status_set(&r->st, NRPC_UNAVAILABLE, "the server that has the task's state does not answer");
        }
    }
    arena_fini(&a);
    loop_post(r->loop, &r->mail);
}

// ---- the end of a task

static int after_completed(const struct dtf_task_type *type, const struct records_task *t,
                           const struct state_progress *p, struct nrpc_status *st)
{
    Dtf__V1__TaskParam *param = dtf__v1__task_param__unpack(NULL, t->param.bytes, t->param.data);
    if (!param)
        return status_set(st, NRPC_DATA_LOSS, "the stored parameters of task %llu cannot be read",
                          (unsigned long long)t->id);
    struct dtf_task task = {
        .id = t->id,
        .type = t->type,
        .name = t->name,
        .resource_group = t->group,
        .creator = t->creator,
        .creator_uid = t->creator_uid,
        .priority = t->priority,
        .created_ms = t->created_ms,
        .deadline_ms = t->deadline_ms,
        .param = param->type_param.data,
        .param_bytes = param->type_param.len,
    };
    const struct model_counters *c = &p->counters;
    struct dtf_task_summary summary = {
        t->id,       model_outcome_name(p->outcome), c->generated, c->succeeded, c->failed, c->timed_out,
        c->cancelled};
    int code = type->collector->after_task_completed(type->user, &task, &summary, st);
    dtf__v1__task_param__free_unpacked(param, NULL);
    return code;
}

// Does all of it; false: the store did not answer, try again.
static bool close_one(const struct env *env, uint64_t id, struct arena *a)
{
    struct nrpc_status st = {0}, failure = {0};
    struct state_progress p;
    struct records_task t;
    if (env->state->ops->progress(env->state, &id, 1, a, &p, &st) ||
        (p.found && p.phase == MODEL_CLOSING && env->records->ops->get(env->records, id, a, &t, &st))) {
        trouble_say(env->trouble, &st, "task %llu: cannot close it", (unsigned long long)id);
        return false;
    }
    if (!p.found || p.phase != MODEL_CLOSING)
        return true;
    const struct dtf_task_type *type = registry_find(p.type);
    int code = NRPC_OK;
    if (type && type->collector && type->collector->after_task_completed)
        code = after_completed(type, &t, &p, &failure);
    else
        log_warn("task %llu: no collector callback for type %s here", (unsigned long long)id, p.type);
    if (env->state->ops->close_task(env->state, id, code ? failure.text : NULL, &st) == NRPC_OK)
        return true;
    trouble_say(env->trouble, &st, "task %llu: cannot close it", (unsigned long long)id);
    return false;
}

void closing_run(struct pool_job *job)
{
    struct closing *c = (struct closing *)job;
    struct arena a;
    arena_init(&a, 0);
    c->retry = !close_one(c->env, c->task, &a);
    arena_fini(&a);
    loop_post(c->loop, &c->mail);
}
