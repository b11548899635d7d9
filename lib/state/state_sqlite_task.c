// SPDX-License-Identifier: Apache-2.0
// state_sqlite_task.c: a task's row: reading it, moving the task on, writing it back, and its view.
#include "state/state_sqlite_internal.h"

#include <stdio.h>

struct sq_task *sq_task_row(sqlite3_stmt *stmt, struct arena *a)
{
    struct sq_task *t = arena_calloc(a, sizeof *t);
    int i = 0;
    t->id = db_u64(stmt, i++);
    t->type = db_text(stmt, i++, a);
    t->group = db_text(stmt, i++, a);
    t->priority = (uint32_t)db_u64(stmt, i++);
    t->deadline_ms = db_i64(stmt, i++);
    t->policy.max_retries = (uint32_t)db_u64(stmt, i++);
    t->policy.retry_backoff_ms = (uint32_t)db_u64(stmt, i++);
    t->policy.tolerated_failures = db_i64(stmt, i++);
    t->max_running = (uint32_t)db_u64(stmt, i++);
    t->keep_results = db_i64(stmt, i++);
    t->fed = db_i64(stmt, i++);
    t->closing_callback = db_i64(stmt, i++);
    t->phase = (enum model_phase)db_i64(stmt, i++);
    t->claim_at_ms = sqlite3_column_type(stmt, i) == SQLITE_NULL ? CLOCK_NEVER : db_i64(stmt, i);
    i++;
    t->owner = db_u64(stmt, i++);
    t->owner_until_ms = db_i64(stmt, i++);
    t->fence = db_u64(stmt, i++);
    t->version = db_u64(stmt, i++);
    t->paused = db_i64(stmt, i++);
    t->outcome = (enum model_outcome)db_i64(stmt, i++);
    t->message = db_text(stmt, i++, a);
    struct model_counters *n = &t->counters;
    uint64_t *const counters[] = {&n->generated, &n->succeeded,    &n->failed,  &n->timed_out, &n->cancelled,
                                  &n->retried,   &n->redispatched, &n->running, &n->queued};
    for (size_t k = 0; k < sizeof counters / sizeof *counters; k++)
        *counters[k] = db_u64(stmt, i++);
    n->generation_done = db_i64(stmt, i++);
    t->made = db_u64(stmt, i++);
    t->cursor = db_u64(stmt, i++);
    t->results = db_u64(stmt, i++);
    t->results_read = db_u64(stmt, i++);
    t->progress_percent = (int)db_i64(stmt, i++);
    t->born_ms = db_i64(stmt, i++);
    t->queued_bytes = db_u64(stmt, i++);
    t->stored.phase = t->phase;
    t->stored.claim_at_ms = t->claim_at_ms;
    t->stored.owner = t->owner;
    t->queue_before = sq_queue(t);
    return t;
}

struct sq_task *sq_task_find(struct sq_call *c, uint64_t id)
{
    if (c->code)
        return NULL;
    if (c->last_task && c->last_task->id == id)
        return c->last_task;
    struct sq_task *t;
    HASH_FIND(hh, c->tasks, &id, sizeof id, t);
    if (t)
        return c->last_task = t;
    sqlite3_stmt *stmt = sq_bind(c, SQL_TASK_GET, "u", id);
    if (!sq_step(c, stmt))
        return NULL;
    t = sq_task_row(stmt, &c->scratch);
    db_done(stmt);
    HASH_ADD(hh, c->tasks, id, sizeof t->id, t);
    return c->last_task = t;
}

struct sq_task *sq_task_need(struct sq_call *c, uint64_t id)
{
    struct sq_task *t = sq_task_find(c, id);
    if (!t)
        sq_fail(c, NRPC_NOT_FOUND, "task %llu is not under way", (unsigned long long)id);
    return t;
}

// ---- moving on

void sq_task_clear(struct sq_call *c, uint64_t task)
{
    sq_run(c, sq_bind(c, SQL_TILE_CLEAR, "u", task));
    sq_run(c, sq_bind(c, SQL_PARAMS_DELETE, "uuu", task, (uint64_t)0, (uint64_t)INT64_MAX));
    sq_run(c, sq_bind(c, SQL_CHECKPOINT_DELETE, "u", task));
}

// What is queued is dropped by the counters alone: nothing of a stopping task is dispatched, and its rows go
// when it closes.
void sq_task_stop(struct sq_call *c, struct sq_task *t, enum model_outcome outcome, const char *message)
{
    t->changed = true;
    t->outcome = outcome;
    t->message = message ? arena_strdup(&c->scratch, message) : NULL;
    t->phase = MODEL_STOPPING;
    t->counters.cancelled += t->counters.queued;
    t->counters.queued = 0;
    t->cursor = t->counters.generated + 1;
    t->queued_bytes = 0;
    t->hints |= STATE_HINT_STOP;
}

static const char *failure_text(struct sq_call *c, const struct sq_task *t)
{
    char *text = arena_alloc(&c->scratch, 100);
    snprintf(text, 100, "%llu subtasks failed, %lld tolerated",
             (unsigned long long)(t->counters.failed + t->counters.timed_out),
             (long long)t->policy.tolerated_failures);
    return text;
}

static void task_advance(struct sq_call *c, struct sq_task *t)
{
    enum model_outcome outcome;
    bool callback = t->closing_callback && t->outcome != MODEL_OUTCOME_DROPPED;
    enum model_phase next = model_phase_next(t->phase, &t->counters, &t->policy, callback, &outcome);
    if (outcome == MODEL_OUTCOME_FAILED) {
        sq_task_stop(c, t, outcome, failure_text(c, t));
        next = model_phase_next(t->phase, &t->counters, &t->policy, callback, &outcome);
    } else if (outcome) {
        t->outcome = outcome;
    }
    t->phase = next;
    if (next != MODEL_GENERATING)
        t->owner = 0;
    if (next != t->stored.phase && next >= MODEL_CLOSING) {
        t->hints |= next == MODEL_CLOSING ? STATE_HINT_CLOSING : STATE_HINT_CLOSED;
        sq_task_clear(c, t->id);
    }
}

static int64_t claim_at(const struct sq_task *t)
{
    if (t->phase != MODEL_GENERATING || t->paused || t->fed || state_queue_is_full(sq_queue(t)))
        return CLOCK_NEVER;
    return t->owner || t->owner_until_ms ? t->owner_until_ms : -(int64_t)t->priority;
}

void sq_claim_free(struct sq_task *t)
{
    t->owner_until_ms = t->owner ? t->owner_until_ms : 0;
    t->hints |= STATE_HINT_GENERATE;
}

// ---- writing

static void task_place(struct sq_call *c, struct sq_task *t)
{
    t->claim_at_ms = claim_at(t);
    if (t->phase == t->stored.phase && t->claim_at_ms == t->stored.claim_at_ms && t->owner == t->stored.owner)
        return;
    sq_run(c, sq_bind(c, SQL_TASK_PLACE, "uiiu", t->id, (int64_t)t->phase, t->claim_at_ms, t->owner));
}

static void task_write(struct sq_call *c, const struct sq_task *t)
{
    const struct model_counters *n = &t->counters;
    sq_run(c, sq_bind(c, SQL_TASK_UPDATE, "uiuuiituuuuuuuuuiuuuuiu", t->id, t->owner_until_ms, t->fence,
                      t->version, (int64_t)t->paused, (int64_t)t->outcome, t->message, n->generated,
                      n->succeeded, n->failed, n->timed_out, n->cancelled, n->retried, n->redispatched,
                      n->running, n->queued, (int64_t)n->generation_done, t->made, t->cursor, t->results,
                      t->results_read, (int64_t)t->progress_percent, t->queued_bytes));
}

void sq_task_flush(struct sq_call *c, struct sq_task *t)
{
    t->queued_bytes = sq_fresh(t) ? t->queued_bytes : 0;
    task_advance(c, t);
    if (t->phase == MODEL_GENERATING && !t->paused && !state_queue_is_low(t->queue_before) &&
        state_queue_is_low(sq_queue(t)))
        sq_claim_free(t);
    t->version++;
    task_place(c, t);
    task_write(c, t);
    if (c->store->state.watch) {
        t->hints |= STATE_HINT_VIEW;
        sq_task_view(c, t, &t->view);
    }
}

void sq_task_append(struct sq_call *c, struct sq_task *t, const struct state_subtask *subtasks, size_t count)
{
    t->changed = true;
    sq_params_put(c, t->id, t->counters.generated + 1, subtasks, count);
    t->counters.generated += count;
    t->counters.queued += count;
    for (size_t i = 0; i < count; i++)
        t->queued_bytes += sq_queue_bytes(subtasks[i].param.bytes);
}

// ---- views

static void count_retries(struct sq_call *c, const struct sq_task *t, struct state_view *out)
{
    sqlite3_stmt *stmt =
        sq_bind(c, SQL_TILE_RETRIES, "uii", t->id, (int64_t)(CLOCK_NEVER - 1), (int64_t)STATE_READY_TILES);
    while (sq_step(c, stmt)) {
        struct sq_tile *tile = sq_tile_get(c, t->id, db_u64(stmt, 0));
        if (!tile)
            break;
        for (int i = 0; i < SQ_TILE; i++) {
            const struct sq_subtask *subtask = &tile->subtasks[i];
            if (subtask->state != SQ_WAITING)
                continue;
            if (subtask->due_ms <= c->now_ms)
                out->ready++;
            else if (subtask->due_ms < out->next_retry_ms)
                out->next_retry_ms = subtask->due_ms;
        }
        if (sq_tile_retry_ms(tile) > c->now_ms)
            break; // the further tiles are later still
    }
    db_done(stmt);
}

void sq_task_view(struct sq_call *c, const struct sq_task *t, struct state_view *out)
{
    *out = (struct state_view){.task = t->id,
                               .version = t->version,
                               .group = t->group,
                               .type = t->type,
                               .priority = t->priority,
                               .next_retry_ms = CLOCK_NEVER,
                               .running = t->counters.running,
                               .max_running = t->max_running};
    if (!sq_task_is_live(t) || t->paused || sq_results_full(t))
        return;
    out->ready = sq_fresh(t);
    if (t->counters.queued > out->ready)
        count_retries(c, t, out);
}
