// SPDX-License-Identifier: Apache-2.0
// turn.c: begin once, then next... save_status, push; what was generated is kept until it is stored.
#include "turn.h"

#include "base/clock.h"
#include "base/log.h"
#include "dtf/v1/task.pb-c.h"
#include "plugin/registry.h"

#include <stdlib.h>
#include <string.h>

enum {
    BATCH_MAX = 1000,
    BATCH_BYTES_MAX = 1 << 20,
    BATCH_US_MAX = 20000, // a slow plugin's subtasks are stored at least this often
    NONE_NOW_FIRST_MS = 10,
    NONE_NOW_MAX_MS = 1000,
};

static const char *copy(struct turn *t, const char *text)
{
    return arena_strdup(&t->arena, text);
}

int turn_init(struct turn *t, const struct env *env, const struct state_claim *claim, struct nrpc_status *st)
{
    *t = (struct turn){.env = env,
                       .task = claim->task,
                       .fence = claim->fence,
                       .queue = claim->queue,
                       .made = claim->generated};
    arena_init(&t->arena, 0);
    arena_init(&t->batch.arena, 0);
    Dtf__V1__TaskParam *p =
        dtf__v1__task_param__unpack(&t->arena.allocator, claim->param.bytes, claim->param.data);
    if (!p)
        return status_set(st, NRPC_DATA_LOSS, "the stored parameters of task %llu cannot be read",
                          (unsigned long long)claim->task);
    t->type = registry_find(p->type);
    t->view = (struct dtf_task){
        .id = claim->task,
        .type = copy(t, p->type),
        .name = copy(t, p->name),
        .resource_group = copy(t, p->resource_group),
        .creator = copy(t, p->creator),
        .creator_uid = p->creator_uid,
        .priority = p->priority,
        .created_ms = claim->deadline_ms - (int64_t)p->timeout_ms,
        .deadline_ms = claim->deadline_ms,
        .param = p->type_param.data,
        .param_bytes = p->type_param.len,
    };
    bool saves = t->type && t->type->generator && t->type->generator->save_status;
    t->skip = saves ? 0 : claim->generated;
    if (saves && claim->checkpoint.data)
        t->saved = (struct state_blob){arena_dup(&t->arena, claim->checkpoint.data, claim->checkpoint.bytes),
                                       claim->checkpoint.bytes};
    return NRPC_OK;
}

void turn_leave(struct turn *t)
{
    struct callback_run running;
    if (!t->begun)
        return;
    t->begun = false;
    if (!t->type->generator->end)
        return;
    callbacks_begin(t->env->callbacks, &running, t->task, "generator");
    t->type->generator->end(t->state);
    callbacks_end(t->env->callbacks, &running);
}

void turn_fini(struct turn *t)
{
    turn_leave(t);
    free(t->batch.subtasks);
    buffer_fini(&t->batch.checkpoint);
    arena_fini(&t->batch.arena);
    arena_fini(&t->arena);
}

// Ends the task as failed; the store may have to be asked again.
static enum turn_end fail(struct turn *t, const struct nrpc_status *why)
{
    struct nrpc_status st;
    int code = t->env->state->ops->stop(t->env->state, t->task, MODEL_OUTCOME_FAILED, why->text, &st);
    if (code == NRPC_OK || code == NRPC_NOT_FOUND)
        return TURN_OVER;
    log_warn("task %llu: cannot record that its generator failed (%s): %s", (unsigned long long)t->task,
             why->text, st.text);
    return TURN_OVER; // the claim is given back: whoever takes it next finds the same failure
}

static void add(struct turn *t, const struct dtf_subtask_spec *spec)
{
    struct turn_batch *b = &t->batch;
    mem_grow(&b->subtasks, &b->capacity, b->count + 1, sizeof *b->subtasks);
    b->subtasks[b->count++] =
        (struct state_subtask){{arena_dup(&b->arena, spec->param, spec->param_bytes), spec->param_bytes},
                               model_timeout_ms(spec->timeout_ms)};
}

static int check_spec(const struct turn *t, const struct dtf_subtask_spec *spec, struct nrpc_status *st)
{
    if (spec->param_bytes > DTF_SUBTASK_PARAM_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the generator of %s made a subtask of %zu bytes; the limit is %d", t->view.type,
                          spec->param_bytes, DTF_SUBTASK_PARAM_MAX);
    if (spec->timeout_ms > DTF_SUBTASK_TIMEOUT_MAX_MS)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the generator of %s set a subtask timeout of %u ms; the limit is %d", t->view.type,
                          spec->timeout_ms, DTF_SUBTASK_TIMEOUT_MAX_MS);
    return NRPC_OK;
}

static bool is_stopping(const struct turn *t)
{
    return atomic_load(&t->cancelled) || atomic_load(&t->quit);
}

// Asks the plugin until the batch is large or old enough, or it has no more for now.
static enum dtf_next fill(struct turn *t, struct nrpc_status *st)
{
    struct turn_batch *b = &t->batch;
    int64_t until_us = clock_mono_us() + BATCH_US_MAX;
    enum dtf_next next = DTF_NEXT_SUBTASK;
    while (next == DTF_NEXT_SUBTASK && b->count < BATCH_MAX && b->arena.used_bytes < BATCH_BYTES_MAX &&
           !is_stopping(t)) {
        struct dtf_subtask_spec spec = {0};
        next = t->type->generator->next(t->state, &spec, st);
        if (next == DTF_NEXT_SUBTASK || next == DTF_NEXT_LAST) {
            if (check_spec(t, &spec, st))
                return DTF_NEXT_ERROR;
            if (t->skip)
                t->skip--;
            else
                add(t, &spec);
        }
        if (clock_mono_us() > until_us)
            break;
    }
    b->done = next == DTF_NEXT_LAST || next == DTF_NEXT_FINISHED;
    if (t->type->generator->save_status && (b->count || b->done)) {
        b->checkpoint.size = 0;
        t->type->generator->save_status(t->state, &b->checkpoint);
        b->taken = true;
        if (b->checkpoint.size > DTF_CHECKPOINT_MAX) {
            status_set(st, NRPC_INVALID_ARGUMENT,
                       "the generator of %s saved a status of %zu bytes; the limit is %d", t->view.type,
                       b->checkpoint.size, DTF_CHECKPOINT_MAX);
            return DTF_NEXT_ERROR;
        }
    }
    return next;
}

static int progress(const struct turn *t)
{
    int percent = t->type->generator->query_progress ? t->type->generator->query_progress(t->state) : -1;
    return percent < 0 ? -1 : percent > 100 ? 100 : percent;
}

// Stores the batch. It stays, to be tried again, if the store does not answer.
static enum turn_end push(struct turn *t)
{
    struct turn_batch *b = &t->batch;
    struct nrpc_status st;
    struct state_blob checkpoint = {b->taken ? (b->checkpoint.data ? b->checkpoint.data : (void *)"") : NULL,
                                    b->checkpoint.size};
    int code = t->env->state->ops->push(t->env->state, t->task, t->fence, t->made, b->subtasks, b->count,
                                        checkpoint, b->done, progress(t), &t->queue, &st);
    if (code == NRPC_ABORTED || code == NRPC_NOT_FOUND)
        return TURN_OVER;
    if (code) {
        trouble_say(t->env->trouble, &st, "task %llu: cannot store %zu subtasks", (unsigned long long)t->task,
                    b->count);
        t->wait_ms = ENV_STORE_RETRY_MS;
        return TURN_NONE_NOW;
    }
    bool done = t->is_done = b->done;
    t->made += b->count;
    b->count = 0;
    b->taken = b->done = false;
    arena_reset(&b->arena);
    return done ? TURN_OVER : state_queue_is_full(t->queue) ? TURN_FULL : TURN_MORE;
}

static int begin(struct turn *t, struct nrpc_status *st)
{
    const struct dtf_generator *g = t->type->generator;
    int code = g->begin(t->type->user, &t->view, t->saved.data, t->saved.bytes, &t->state, st);
    t->begun = code == NRPC_OK;
    return code;
}

static enum turn_end stop(struct turn *t)
{
    if (atomic_load(&t->cancelled) && t->begun && t->type->generator->cancel)
        t->type->generator->cancel(t->state);
    return TURN_OVER;
}

static enum turn_end none_now(struct turn *t)
{
    t->wait_ms = t->wait_ms ? 2 * t->wait_ms : NONE_NOW_FIRST_MS;
    if (t->wait_ms > NONE_NOW_MAX_MS)
        t->wait_ms = NONE_NOW_MAX_MS;
    return TURN_NONE_NOW;
}

static enum turn_end run(struct turn *t)
{
    struct nrpc_status st = {0};
    if (is_stopping(t))
        return stop(t);
    if (!t->type || !t->type->generator) { // a restart with the plugin will find the task as it is
        log_error("task %llu: no generator for type \"%s\" here; was a plugin left out?",
                  (unsigned long long)t->task, t->view.type);
        t->wait_ms = 60000;
        return TURN_NONE_NOW;
    }
    if (!t->begun && begin(t, &st))
        return fail(t, &st);
    if (t->batch.count || t->batch.done)
        return push(t);
    enum dtf_next next = fill(t, &st);
    if (is_stopping(t))
        return stop(t);
    enum turn_end end = t->batch.count || t->batch.done ? push(t) : TURN_MORE;
    if (next == DTF_NEXT_ERROR && end != TURN_OVER)
        return fail(t, &st);
    if (next == DTF_NEXT_NONE_NOW && end == TURN_MORE)
        return none_now(t);
    if (next == DTF_NEXT_SUBTASK)
        t->wait_ms = 0;
    return end;
}

enum turn_end turn_run(struct turn *t)
{
    struct callback_run running;
    callbacks_begin(t->env->callbacks, &running, t->task, "generator");
    enum turn_end end = run(t);
    callbacks_end(t->env->callbacks, &running);
    return end;
}
