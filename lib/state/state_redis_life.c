// SPDX-License-Identifier: Apache-2.0
// state_redis_life.c: the life of a task: admitted, paused, stopped, taken, closed, removed; and how it is
// doing.
#include "state/state_redis_internal.h"

#include <stdlib.h>
#include <string.h>

// ---- admitting

static void put_admission(struct rs_call *c, const struct state_task *t)
{
    const struct model_counters *n = &t->counters;
    rs_u64(c, t->id);
    rs_text(c, t->type);
    rs_text(c, t->group);
    rs_u64(c, t->priority);
    rs_time(c, t->deadline_ms);
    rs_u64(c, t->policy.max_retries);
    rs_u64(c, t->policy.retry_backoff_ms);
    rs_time(c, t->policy.tolerated_failures); // more than a script can count are all the same
    rs_u64(c, t->max_running);
    rs_u64(c, t->keep_results);
    rs_u64(c, t->fed);
    rs_u64(c, t->closing_callback);
    rs_bytes(c, t->param.data, t->param.bytes);
    const uint64_t counters[] = {n->generated, n->succeeded, n->failed,      n->timed_out,
                                 n->cancelled, n->retried,   n->redispatched};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        rs_u64(c, counters[i]);
    rs_u64(c, t->made);
    rs_optional(c, t->checkpoint.data, t->checkpoint.bytes);
    rs_u64(c, t->again);
    rs_i64(c, t->born_ms);
}

static int admit_some(struct rs_shard *shard, const struct state_task *const *tasks, size_t count,
                      struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_u64(&c, count);
    for (size_t i = 0; i < count; i++)
        put_admission(&c, tasks[i]);
    return rs_finish(&c, SCRIPT_admit);
}

int rs_admit(struct state *s, const struct state_task *tasks, size_t count, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    if (state_check_ids(tasks, count, st))
        return NRPC_INVALID_ARGUMENT;
    const struct state_task **mine = mem_calloc(count + 1, sizeof(struct state_task *));
    int code = NRPC_OK;
    for (size_t i = 0; i < store->shard_count; i++) {
        size_t n = 0, bytes = 0;
        int failure = NRPC_OK;
        for (size_t k = 0; failure == NRPC_OK && k < count; k++) {
            if (rs_shard_of(store, tasks[k].id) != &store->shards[i])
                continue;
            mine[n++] = &tasks[k];
            bytes += tasks[k].param.bytes + tasks[k].checkpoint.bytes;
            if (n == RS_ADMIT_MAX || bytes >= RS_CALL_BYTES) {
                failure = admit_some(&store->shards[i], mine, n, st);
                n = bytes = 0;
            }
        }
        if (failure == NRPC_OK && n)
            failure = admit_some(&store->shards[i], mine, n, st);
        code = failure ? failure : code; // the others' are admitted all the same
    }
    free(mine);
    return code;
}

// ---- changes of one task

int rs_pause(struct state *s, uint64_t task, bool paused, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_u64(&c, paused);
    return rs_finish(&c, SCRIPT_pause);
}

int rs_stop(struct state *s, uint64_t task, enum model_outcome outcome, const char *message,
            struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_u64(&c, outcome);
    rs_optional(&c, message, message ? strlen(message) : 0);
    return rs_finish(&c, SCRIPT_stop);
}

int rs_close_task(struct state *s, uint64_t task, const char *failure, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_optional(&c, failure, failure ? strlen(failure) : 0);
    return rs_finish(&c, SCRIPT_close_task);
}

int rs_blame(struct state *s, uint64_t task, const char *callback, uint64_t *count, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_text(&c, callback);
    if (rs_do(&c, SCRIPT_blame) == NRPC_OK)
        *count = rs_u64_at(&c, c.reply, RS_REPLY, "count");
    return rs_end(&c);
}

// ---- lists of tasks: of every shard, put together

struct deadline {
    int64_t ms;
    uint64_t task;
};

static int compare_deadlines(const void *a, const void *b)
{
    const struct deadline *x = a, *y = b;
    return x->ms != y->ms ? (x->ms < y->ms ? -1 : 1) : rs_compare_ids(&x->task, &y->task);
}

// What has passed of all shards' first deadlines; the first of the rest is the next.
static int give_overdue(struct deadline *all, size_t n, int64_t now_ms, size_t max, struct arena *a,
                        uint64_t **tasks, size_t *count, int64_t *next_ms, struct nrpc_status *st)
{
    struct rs_ids ids = {0};
    if (n)
        qsort(all, n, sizeof *all, compare_deadlines);
    mem_grow(&ids.at, &ids.capacity, n + 1, sizeof *ids.at);
    for (; ids.count < n && ids.count < max && all[ids.count].ms <= now_ms; ids.count++)
        ids.at[ids.count] = all[ids.count].task;
    *next_ms = ids.count < n ? all[ids.count].ms : CLOCK_NEVER;
    return rs_ids_give(&ids, NRPC_OK, max, a, tasks, count, st);
}

int rs_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a, uint64_t **tasks, size_t *count,
               int64_t *next_ms, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct deadline *all = NULL;
    size_t n = 0, capacity = 0;
    max = max < INT32_MAX ? max : INT32_MAX;
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, NULL, st); // a deadline is a date, no time of the roles
        rs_u64(&c, max + 1);
        rs_do(&c, SCRIPT_overdue);
        const redisReply *rows = rs_at(c.reply, RS_REPLY);
        mem_grow(&all, &capacity, n + rs_size(rows) / 2 + 1, sizeof *all);
        for (size_t k = 0; k + 1 < rs_size(rows) && !c.code; k += 2)
            all[n++] =
                (struct deadline){rs_time_at(&c, rows, k + 1, "deadline"), rs_u64_at(&c, rows, k, "task")};
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_any(&round);
    if (code == NRPC_OK)
        code = give_overdue(all, n, now_ms, max, a, tasks, count, next_ms, st);
    free(all);
    return code;
}

int rs_in_phase(struct state *s, enum model_phase phase, uint64_t after, size_t max, struct arena *a,
                uint64_t **tasks, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct rs_ids ids = {0};
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, NULL, st);
        rs_u64(&c, phase);
        rs_u64(&c, model_after(after));
        rs_u64(&c, max < INT32_MAX ? max : INT32_MAX);
        if (rs_do(&c, SCRIPT_in_phase) == NRPC_OK)
            rs_ids_add(&ids, &c, RS_REPLY);
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_any(&round);
    return rs_ids_give(&ids, code, max, a, tasks, count, st);
}

int rs_take(struct state *s, enum model_phase phase, int64_t now_ms, int64_t until_ms, size_t max,
            struct arena *a, uint64_t **tasks, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct rs_ids ids = {0};
    for (struct rs_shard *shard; (ids.count < max) && (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, now_ms, NULL, st);
        rs_u64(&c, phase);
        rs_time(&c, until_ms);
        rs_u64(&c, max - ids.count < INT32_MAX ? max - ids.count : INT32_MAX);
        if (rs_do(&c, SCRIPT_take) == NRPC_OK)
            rs_ids_add(&ids, &c, RS_REPLY);
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_any(&round);
    return rs_ids_give(&ids, code, max, a, tasks, count, st);
}

int rs_hold(struct state *s, const uint64_t *tasks, size_t count, int64_t until_ms, struct nrpc_status *st)
{
    return rs_do_tasks(s, SCRIPT_hold, NULL, until_ms, tasks, count, st);
}

int rs_remove(struct state *s, const uint64_t *tasks, size_t count, int64_t results_until_ms,
              struct nrpc_status *st)
{
    return rs_do_tasks(s, SCRIPT_remove, NULL, results_until_ms, tasks, count, st);
}

static int expire_some(struct rs_shard *shard, int64_t now_ms, uint64_t *stage, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_time(&c, now_ms);
    rs_u64(&c, *stage);
    bool more =
        rs_do(&c, SCRIPT_expire_results) == NRPC_OK && rs_small_at(&c, c.reply, RS_REPLY, "more", 0, 1);
    *stage += !more;
    return rs_end(&c);
}

int rs_expire_results(struct state *s, int64_t now_ms, struct nrpc_status *st)
{
    enum { STAGES = 3 };
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        int code = NRPC_OK;
        for (uint64_t stage = 0; stage < STAGES && code == NRPC_OK;)
            code = expire_some(shard, now_ms, &stage, st);
        rs_note(&round, code);
    }
    return rs_round_end(&round);
}

// ---- progress

static void read_progress(struct rs_call *c, const redisReply *row, struct state_progress *out)
{
    if (rs_is_nil(row))
        return;
    if (rs_size(row) == 2) { // it is not there: it was damaged
        out->damages = rs_u32_at(c, row, 0, "damages");
        out->message = rs_text_at(c, row, 1, "damage");
        return;
    }
    struct model_counters *n = &out->counters;
    uint64_t *const counters[] = {&n->generated, &n->succeeded,    &n->failed,  &n->timed_out, &n->cancelled,
                                  &n->retried,   &n->redispatched, &n->running, &n->queued};
    out->found = true;
    out->phase = (enum model_phase)rs_small_at(c, row, 0, "phase", MODEL_GENERATING, MODEL_CLOSED);
    out->paused = rs_small_at(c, row, 1, "paused", 0, 1);
    out->outcome =
        (enum model_outcome)rs_small_at(c, row, 2, "outcome", MODEL_OUTCOME_NONE, MODEL_OUTCOME_DROPPED);
    out->message = rs_is_nil(rs_at(row, 3)) ? NULL : rs_text_at(c, row, 3, "message");
    out->deadline_ms = rs_time_at(c, row, 4, "deadline");
    out->type = rs_text_at(c, row, 5, "type");
    out->progress_percent = rs_small_at(c, row, 6, "percent", -1, 100);
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        *counters[i] = rs_u64_at(c, row, 7 + i, "counter");
    n->generation_done = rs_small_at(c, row, 16, "done", 0, 1);
    out->born_ms = (int64_t)rs_u64_at(c, row, 17, "born");
    out->point_made = rs_u64_at(c, row, 18, "point's made");
    out->point_settled = rs_u64_at(c, row, 19, "point's settled");
}

static int progress_some(struct rs_shard *shard, const uint64_t *tasks, size_t count, struct arena *a,
                         struct state_progress *out, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, a, st);
    if (!rs_put_tasks(&c, tasks, count))
        return rs_end(&c);
    rs_do(&c, SCRIPT_progress);
    const redisReply *rows = rs_at(c.reply, RS_REPLY);
    for (size_t i = 0, row = 0; i < count && !c.code; i++)
        if (rs_shard_of(shard->store, tasks[i]) == shard)
            read_progress(&c, rs_at(rows, row++), &out[i]);
    return rs_end(&c);
}

static int progress_of(struct rs_shard *shard, const uint64_t *tasks, size_t count, struct arena *a,
                       struct state_progress *out, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t at = 0; at < count && code == NRPC_OK; at += RS_TASKS_MAX)
        code = progress_some(shard, tasks + at, count - at < RS_TASKS_MAX ? count - at : RS_TASKS_MAX, a,
                             out + at, st);
    return code;
}

int rs_progress(struct state *s, const uint64_t *tasks, size_t count, struct arena *a,
                struct state_progress *out, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    int code = NRPC_OK;
    for (size_t i = 0; i < count; i++)
        out[i] = (struct state_progress){.task = tasks[i]};
    for (size_t i = 0; i < store->shard_count; i++) {
        int failure = progress_of(&store->shards[i], tasks, count, a, out, st);
        code = failure ? failure : code;
        for (size_t k = 0; failure && k < count; k++)
            if (rs_shard_of(store, tasks[k]) == &store->shards[i])
                out[k] = (struct state_progress){.task = tasks[k], .unknown = true};
    }
    return code;
}

// ---- points

static void read_point(struct rs_call *c, const redisReply *row, struct state_point *out)
{
    struct model_counters *n = &out->counters;
    uint64_t *const counters[] = {&n->generated, &n->succeeded, &n->failed,      &n->timed_out,
                                  &n->cancelled, &n->retried,   &n->redispatched};
    *out = (struct state_point){.task = rs_u64_at(c, row, 0, "task"),
                                .segment = rs_u64_at(c, row, 1, "segment"),
                                .made = rs_u64_at(c, row, 2, "made"),
                                .progress_percent = rs_small_at(c, row, 3, "percent", -1, 100)};
    if (rs_small_at(c, row, 4, "checkpoint's presence", 0, 1))
        out->checkpoint = rs_blob_at(c, row, 5, "checkpoint");
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        *counters[i] = rs_u64_at(c, row, 6 + i, "counter");
}

int rs_points(struct state *s, size_t max, struct arena *a, struct state_point **out, size_t *count,
              struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct state_point *points = NULL;
    size_t capacity = 0;
    struct budget room = {.bytes = STATE_BATCH_BYTES};
    *count = 0;
    for (struct rs_shard *shard; (*count < max && !budget_is_full(&room)) && (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, a, st);
        rs_u64(&c, max - *count < INT32_MAX ? max - *count : INT32_MAX);
        rs_u64(&c, room.bytes - room.used);
        rs_do(&c, SCRIPT_points);
        const redisReply *rows = rs_at(c.reply, RS_REPLY);
        mem_grow(&points, &capacity, *count + rs_size(rows) + 1, sizeof *points);
        for (size_t k = 0; k < rs_size(rows); k++) {
            read_point(&c, rs_at(rows, k), &points[*count]);
            room.used += points[(*count)++].checkpoint.bytes;
        }
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_any(&round);
    *out = code ? NULL : arena_dup(a, points, *count * sizeof *points);
    free(points);
    return code;
}

int rs_points_recorded(struct state *s, const struct state_point *points, size_t count,
                       struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        size_t n = 0;
        for (size_t k = 0; k < count; k++)
            n += rs_shard_of(store, points[k].task) == shard;
        rs_begin(&c, shard, RS_SEEN, NULL, st);
        rs_u64(&c, n);
        for (size_t k = 0; k < count; k++)
            if (rs_shard_of(store, points[k].task) == shard) {
                rs_u64(&c, points[k].task);
                rs_u64(&c, points[k].segment);
            }
        rs_note(&round, n ? rs_finish(&c, SCRIPT_points_recorded) : rs_end(&c));
    }
    return rs_round_end(&round);
}
