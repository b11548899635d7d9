// SPDX-License-Identifier: Apache-2.0
// vet.c: before_dispatch, after_dispatch.
#include "vet.h"

#include "base/log.h"

#include <stdlib.h>

enum { ASK_AGAIN_MS = 100 };

static void put_back(struct vet *v, const struct state_ref *declined, size_t count)
{
    struct nrpc_status st;
    int64_t ready_ms = v->env->now_ms() + ASK_AGAIN_MS;
    if (count &&
        v->env->state->ops->requeue(v->env->state, declined, count, NULL, STATE_DECLINED, ready_ms, &st))
        log_warn("task %llu: cannot put back %zu declined subtasks; they come back when their lease ends: %s",
                 (unsigned long long)declined->task, count, st.text);
}

static void run(struct pool_job *job)
{
    struct vet *v = (struct vet *)job;
    const struct dtf_scheduler_callback *cb = v->type->scheduler;
    struct state_ref *declined = mem_calloc(v->count, sizeof *declined);
    size_t kept = 0, declined_count = 0;
    struct callback_run running;
    callbacks_begin(v->env->callbacks, &running, v->task, "before_dispatch");
    for (size_t i = 0; i < v->count; i++) {
        struct state_work *w = &v->work[i];
        struct dtf_subtask s = {w->task,       w->seq,        w->attempt,    v->type->name,
                                w->timeout_ms, w->param.data, w->param.bytes};
        if (cb->before_dispatch && !cb->before_dispatch(v->type->user, &s)) {
            declined[declined_count++] = (struct state_ref){w->task, w->seq, w->attempt};
            free((void *)w->param.data);
            continue;
        }
        if (cb->after_dispatch)
            cb->after_dispatch(v->type->user, &s);
        v->work[kept++] = *w;
    }
    callbacks_end(v->env->callbacks, &running);
    v->count = kept;
    v->declined = declined_count;
    put_back(v, declined, declined_count);
    free(declined);
    loop_post(v->loop, &v->mail);
}

struct vet *vet_create(const struct env *env, struct loop *loop, int mail_kind,
                       const struct dtf_task_type *type, uint64_t node, const struct state_work *work,
                       size_t count)
{
    struct vet *v = mem_calloc(1, sizeof *v);
    *v = (struct vet){.job.run = run,
                      .mail.kind = mail_kind,
                      .env = env,
                      .loop = loop,
                      .type = type,
                      .node = node,
                      .task = work->task};
    v->work = mem_calloc(count, sizeof *v->work);
    v->count = count;
    for (size_t i = 0; i < count; i++) {
        v->work[i] = work[i];
        v->work[i].type = type->name;
        v->work[i].param.data = mem_dup(work[i].param.data, work[i].param.bytes);
    }
    return v;
}

void vet_destroy(struct vet *v)
{
    for (size_t i = 0; i < v->count; i++)
        free((void *)v->work[i].param.data);
    free(v->work);
    free(v);
}
