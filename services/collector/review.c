// SPDX-License-Identifier: Apache-2.0
// review.c: after_execution, after_task_completed.
#include "review.h"

#include "base/clock.h"
#include "base/log.h"
#include "dtf/v1/task.pb-c.h"
#include "plugin/callback.h"

#include <stdlib.h>

enum {
    SOME = 64,       // results that are reviewed and settled together
    SOME_US = 50000, // or fewer, when their callbacks are slow
};

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

// Looks what of the entries `at` and on is current, calls back for it, moves it to the front, and settles it.
// What was reviewed is settled soon, however long the callbacks of the rest take; and what has been stopped
// meanwhile is passed over. Returns how many were done; 0: the store did not answer.
static size_t review_some(struct review *r, size_t at, struct arena *a)
{
    struct state_ref refs[SOME] = {0};
    struct state_holder by[SOME] = {0};
    struct state_peek peeks[SOME] = {0};
    struct dtf_followups followups;
    enum state_verdict verdicts[SOME];
    size_t count = r->count - at < SOME ? r->count - at : SOME, done = 0, kept = 0;
    struct state_settle *entries = &r->entries[at];
    for (size_t i = 0; i < count; i++) {
        refs[i] = entries[i].ref;
        by[i] = entries[i].by;
    }
    if (r->env->state->ops->peek(r->env->state, refs, by, count, a, peeks, &r->st))
        return 0;
    for (int64_t until_us = clock_mono_us() + SOME_US; done < count && clock_mono_us() < until_us; done++) {
        struct state_settle e = entries[done];
        if (!peeks[done].current)
            continue;
        if (!peeks[done].stopping) // otherwise its end waits for no callback
            call_back(r, &e, &peeks[done], a, &followups);
        entries[kept++] = e;
    }
    r->stale += (uint32_t)(done - kept);
    if (kept && r->env->state->ops->settle(r->env->state, r->env->now_ms(), entries, kept, verdicts, &r->st))
        return 0;
    for (size_t i = 0; i < kept; i++) {
        r->stale += verdicts[i] == STATE_STALE;
        if (verdicts[i] == STATE_UNHEARD)
            status_set(&r->st, NRPC_UNAVAILABLE, "the server that has the task's state does not answer");
    }
    return r->st.code ? 0 : done;
}

void review_run(struct pool_job *job)
{
    struct review *r = (struct review *)job;
    size_t at = 0;
    for (size_t done = 1; at < r->count && done && !atomic_load(&r->env->callbacks->quit); at += done) {
        struct arena a;
        struct callback_run running;
        arena_init(&a, 0);
        callbacks_begin(r->env->callbacks, &running, r->key.task, "after_execution");
        done = review_some(r, at, &a);
        callbacks_end(r->env->callbacks, &running);
        arena_fini(&a);
    }
    if (at < r->count && !r->st.code)
        status_set(&r->st, NRPC_UNAVAILABLE, "the collector is stopping");
    loop_post(r->loop, &r->mail);
}

struct review *review_create(const struct env *env, struct loop *loop, int mail_kind,
                             const struct dtf_task_type *type, struct review_key key)
{
    struct review *r = mem_calloc(1, sizeof *r);
    *r = (struct review){
        .job.run = review_run, .mail.kind = mail_kind, .env = env, .loop = loop, .type = type, .key = key};
    arena_init(&r->arena, 0);
    return r;
}

void review_add(struct review *r, const struct state_settle *entry)
{
    mem_grow(&r->entries, &r->capacity, r->count + 1, sizeof *r->entries);
    struct state_settle *e = &r->entries[r->count++];
    *e = *entry;
    e->message = arena_strdup(&r->arena, entry->message);
    e->body.data = arena_dup(&r->arena, entry->body.data, entry->body.bytes);
}

void review_destroy(struct review *r)
{
    arena_fini(&r->arena);
    free(r->entries);
    free(r);
}

// ---- the end of a task

static int after_completed(const struct env *env, const struct dtf_task_type *type,
                           const struct records_task *t, const struct state_progress *p,
                           struct nrpc_status *st)
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
    struct callback_run running;
    callbacks_begin(env->callbacks, &running, t->id, CALLBACK_CLOSING);
    int code = type->collector->after_task_completed(type->user, &task, &summary, st);
    callbacks_end(env->callbacks, &running);
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
        code = after_completed(env, type, &t, &p, &failure);
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
    c->retry = atomic_load(&c->env->callbacks->quit) || !close_one(c->env, c->task, &a);
    arena_fini(&a);
    loop_post(c->loop, &c->mail);
}
