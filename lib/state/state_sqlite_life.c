// SPDX-License-Identifier: Apache-2.0
// state_sqlite_life.c: the life of a task: admitted, paused, stopped, closed, removed; and how it is doing.
#include "state/state_sqlite_internal.h"

static void drop(struct sq_call *c, struct sq_task *t, const char *message)
{
    t->changed = true;
    if (t->phase < MODEL_CLOSING) {
        sq_task_stop(c, t, MODEL_OUTCOME_DROPPED, message);
        return;
    }
    t->phase = MODEL_CLOSED; // no callback, and nothing is kept
    t->outcome = MODEL_OUTCOME_DROPPED;
}

static void drop_another(struct sq_call *c, const struct state_task *task)
{
    struct sq_task *t = sq_task_find(c, task->id);
    if (t && t->born_ms && task->born_ms && t->born_ms != task->born_ms && t->phase < MODEL_CLOSED)
        drop(c, t, "another task has its number");
}

static void admit_one(struct sq_call *c, const struct state_task *task)
{
    sq_run(c,
           sq_bind(c, SQL_TASK_INSERT, "uttiiiiiiiiii", task->id, task->type ? task->type : "",
                   task->group ? task->group : "", (int64_t)task->priority, task->deadline_ms,
                   (int64_t)task->policy.max_retries, (int64_t)task->policy.retry_backoff_ms,
                   task->policy.tolerated_failures, (int64_t)task->max_running, (int64_t)task->keep_results,
                   (int64_t)task->fed, (int64_t)task->closing_callback, task->born_ms));
    if (c->code)
        return;
    if (!db_changes(c->store->sql.db)) {
        drop_another(c, task);
        return;
    }
    sq_run(c, sq_bind(c, SQL_TASK_PARAM_PUT, "ub", task->id, task->param.data, task->param.bytes));
    sq_results_drop(c, task->id);
    struct sq_task *t = sq_task_find(c, task->id);
    if (!t)
        return;
    t->changed = true;
    t->counters = task->counters;
    t->made = task->made;
    t->cursor = t->counters.generated + 1;
    if (task->checkpoint.data)
        sq_run(c,
               sq_bind(c, SQL_CHECKPOINT_PUT, "ub", task->id, task->checkpoint.data, task->checkpoint.bytes));
    if (!t->fed)
        t->hints |= STATE_HINT_GENERATE;
}

int sq_admit(struct state *s, const struct state_task *tasks, size_t count, struct nrpc_status *st)
{
    struct sq_call c;
    if (state_check_ids(tasks, count, st))
        return NRPC_INVALID_ARGUMENT;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++)
        admit_one(&c, &tasks[i]);
    return sq_end(&c);
}

int sq_pause(struct state *s, uint64_t task, bool paused, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    struct sq_task *t = sq_task_need(&c, task);
    if (t && t->paused != paused) {
        t->changed = true;
        t->paused = paused;
        if (t->phase == MODEL_GENERATING && !t->fed && (!paused || t->owner))
            sq_claim_free(t);
    }
    return sq_end(&c);
}

int sq_stop(struct state *s, uint64_t task, enum model_outcome outcome, const char *message,
            struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_DURABLE, NULL, st); // who asked for it is told that it will happen
    if (code)
        return code;
    struct sq_task *t = sq_task_need(&c, task);
    if (t && outcome == MODEL_OUTCOME_DROPPED)
        drop(&c, t, message);
    else if (t && sq_task_is_live(t))
        sq_task_stop(&c, t, outcome, message);
    return sq_end(&c);
}

// ---- taking: who works on the end of a task; dies with the process, as its workers do

static struct sq_taken *taken_find(struct sq_call *c, uint64_t task)
{
    struct sq_taken *taken;
    HASH_FIND(hh, c->store->taken, &task, sizeof task, taken);
    return taken;
}

static void forget_taken(struct sq_call *c, uint64_t task)
{
    struct sq_taken *taken = taken_find(c, task);
    if (!taken)
        return;
    HASH_DEL(c->store->taken, taken);
    free(taken);
}

static bool take_one(struct sq_call *c, uint64_t task, int64_t now_ms, int64_t until_ms)
{
    struct sq_taken *taken = taken_find(c, task);
    if (taken && taken->until_ms > now_ms)
        return false;
    if (!taken) {
        taken = mem_calloc(1, sizeof *taken);
        taken->task = task;
        HASH_ADD(hh, c->store->taken, task, sizeof taken->task, taken);
    }
    taken->until_ms = until_ms;
    return true;
}

int sq_take(struct state *s, enum model_phase phase, int64_t now_ms, int64_t until_ms, size_t max,
            struct arena *a, uint64_t **tasks, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list all = {0}, list = {0};
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    sq_see_time(&c, now_ms);
    sq_list_read(&c, &all,
                 sq_bind(&c, SQL_TASK_IN_PHASE, "iui", (int64_t)phase, (uint64_t)0, (int64_t)INT32_MAX));
    for (size_t i = 0; i < all.count && list.count < max && !c.code; i++)
        if (take_one(&c, all.ids[i], now_ms, until_ms))
            sq_list_add(&list, all.ids[i]);
    sq_list_free(&all);
    sq_list_out(&c, &list, tasks, count);
    return sq_end(&c);
}

int sq_hold(struct state *s, const uint64_t *tasks, size_t count, int64_t until_ms, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        struct sq_taken *taken = taken_find(&c, tasks[i]);
        if (taken && until_ms > taken->until_ms)
            taken->until_ms = until_ms;
    }
    return sq_end(&c);
}

int sq_close_task(struct state *s, uint64_t task, const char *failure, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    struct sq_task *t = sq_task_need(&c, task);
    if (t && t->phase < MODEL_CLOSING)
        sq_fail(&c, NRPC_FAILED_PRECONDITION, "task %llu is still %s", (unsigned long long)task,
                model_phase_name(t->phase));
    if (t && t->phase == MODEL_CLOSING) {
        t->changed = true;
        t->phase = MODEL_CLOSED;
        forget_taken(&c, task);
        if (failure) {
            t->outcome = MODEL_OUTCOME_FAILED;
            t->message = arena_strdup(&c.scratch, failure);
        }
    }
    return sq_end(&c);
}

int sq_blame(struct state *s, uint64_t task, const char *callback, uint64_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    if (sq_task_need(&c, task)) {
        sqlite3_stmt *stmt = sq_bind(&c, SQL_BLAME_ADD, "ut", task, callback);
        if (sq_step(&c, stmt))
            *count = db_u64(stmt, 0);
        db_done(stmt);
    }
    return sq_end(&c);
}

static void remove_one(struct sq_call *c, uint64_t task, int64_t results_until_ms)
{
    struct sq_task *t = sq_task_find(c, task);
    if (!t || t->phase != MODEL_CLOSED)
        return;
    bool keeps = t->keep_results && t->outcome != MODEL_OUTCOME_DROPPED;
    if (keeps) // also when all were read: who comes next learns that these were all
        sq_run(c, sq_bind(c, SQL_GONE_INSERT, "uiu", task, results_until_ms, t->results));
    else if (t->keep_results)
        sq_run(c, sq_bind(c, SQL_RESULT_FORGET, "uu", task, (uint64_t)INT64_MAX));
    sq_run(c, sq_bind(c, SQL_TASK_PARAM_DELETE, "u", task));
    sq_run(c, sq_bind(c, SQL_FAILURE_DELETE, "u", task));
    sq_run(c, sq_bind(c, SQL_TASK_DELETE, "u", task));
    sq_run(c, sq_bind(c, SQL_BLAME_DELETE, "u", task));
    forget_taken(c, task);
    t->hints |= STATE_HINT_GONE;
    if (keeps)
        t->hints |= STATE_HINT_RESULTS; // who waits for more learns that this is all
}

int sq_remove(struct state *s, const uint64_t *tasks, size_t count, int64_t results_until_ms,
              struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++)
        remove_one(&c, tasks[i], results_until_ms);
    return sq_end(&c);
}

// ---- reading

static int cut(size_t max)
{
    return max < INT32_MAX ? (int)max : INT32_MAX;
}

int sq_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a, uint64_t **tasks, size_t *count,
               int64_t *next_ms, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    *next_ms = CLOCK_NEVER;
    sqlite3_stmt *stmt = sq_bind(&c, SQL_TASK_OVERDUE, "i", (int64_t)cut(max) + 1);
    while (sq_step(&c, stmt)) {
        int64_t deadline_ms = db_i64(stmt, 1);
        if (deadline_ms > now_ms || list.count == max) {
            *next_ms = deadline_ms;
            break;
        }
        sq_list_add(&list, db_u64(stmt, 0));
    }
    db_done(stmt);
    sq_list_out(&c, &list, tasks, count);
    return sq_end(&c);
}

int sq_in_phase(struct state *s, enum model_phase phase, uint64_t after, size_t max, struct arena *a,
                uint64_t **tasks, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    sq_list_read(
        &c, &list,
        sq_bind(&c, SQL_TASK_IN_PHASE, "iui", (int64_t)phase, model_after(after), (int64_t)cut(max)));
    sq_list_out(&c, &list, tasks, count);
    return sq_end(&c);
}

static void progress_one(struct sq_call *c, uint64_t task, struct state_progress *out)
{
    const struct sq_task *t = sq_task_find(c, task);
    *out = (struct state_progress){.task = task, .found = t};
    if (!t)
        return;
    out->phase = t->phase;
    out->paused = t->paused;
    out->outcome = t->outcome;
    out->message = sq_out_text(c, t->message);
    out->counters = t->counters;
    out->deadline_ms = t->deadline_ms;
    out->born_ms = t->born_ms;
    out->progress_percent = t->progress_percent;
    out->type = sq_out_text(c, t->type);
}

int sq_progress(struct state *s, const uint64_t *tasks, size_t count, struct arena *a,
                struct state_progress *out, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, a, st);
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        progress_one(&c, tasks[i], &out[i]);
    code = code ? code : sq_end(&c);
    for (size_t i = 0; code && i < count; i++)
        out[i] = (struct state_progress){.task = tasks[i], .unknown = true};
    return code;
}
