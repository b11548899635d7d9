// SPDX-License-Identifier: Apache-2.0
// state_sqlite_generation.c: how subtasks get in: claims of generators and what they push, and what clients
// feed.
#include "state/state_sqlite_internal.h"

static void claim_one(struct sq_call *c, uint64_t task, uint64_t owner, int64_t until_ms,
                      struct state_claim *out)
{
    struct sq_task *t = sq_task_find(c, task);
    if (!t)
        return;
    bool is_due = t->owner || t->owner_until_ms;
    t->changed = true;
    t->owner = owner;
    t->owner_until_ms = until_ms;
    t->fence++;
    *out = (struct state_claim){.task = task,
                                .fence = t->fence,
                                .generated = t->made,
                                .queue = sq_queue(t),
                                .deadline_ms = t->deadline_ms,
                                .is_due = is_due};
    sqlite3_stmt *stmt = sq_bind(c, SQL_TASK_BLOBS, "u", task);
    if (sq_step(c, stmt)) {
        sq_out_blob(c, stmt, 0, &out->param);
        sq_out_blob(c, stmt, 1, &out->checkpoint);
    }
    db_done(stmt);
}

int sq_claim(struct state *s, uint64_t owner, int64_t now_ms, int64_t until_ms, size_t max, struct arena *a,
             struct state_claim **out, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    sq_see_time(&c, now_ms);
    sq_list_read(&c, &list,
                 sq_bind(&c, SQL_TASK_CLAIMABLE, "ii", now_ms, (int64_t)(max < INT32_MAX ? max : INT32_MAX)));
    *count = list.count;
    *out = sq_out(&c, list.count, sizeof **out);
    for (size_t i = 0; i < list.count && !c.code; i++)
        claim_one(&c, list.ids[i], owner, until_ms, &(*out)[i]);
    sq_list_free(&list);
    return sq_end(&c);
}

int sq_renew_claims(struct state *s, uint64_t owner, const uint64_t *tasks, size_t count, int64_t until_ms,
                    struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        struct sq_task *t = sq_task_find(&c, tasks[i]);
        if (t && owner && t->owner == owner && until_ms > t->owner_until_ms) {
            t->changed = true;
            t->owner_until_ms = until_ms;
        }
    }
    return sq_end(&c);
}

int sq_release_claim(struct state *s, uint64_t task, uint64_t fence, int64_t not_before_ms,
                     struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    struct sq_task *t = sq_task_find(&c, task);
    if (t && t->owner && t->fence == fence) {
        t->changed = true;
        t->owner = 0;
        t->owner_until_ms = not_before_ms;
        if (!not_before_ms && !t->paused && !state_queue_is_full(sq_queue(t)))
            t->hints |= STATE_HINT_GENERATE;
    }
    return sq_end(&c);
}

static bool may_push(struct sq_call *c, const struct sq_task *t, uint64_t fence, uint64_t at, size_t count)
{
    unsigned long long id = t->id;
    if (t->phase != MODEL_GENERATING)
        return sq_fail(c, NRPC_ABORTED, "task %llu is %s, its generation is over", id,
                       model_phase_name(t->phase));
    if (!t->owner || t->fence != fence)
        return sq_fail(c, NRPC_ABORTED, "the claim of task %llu under fence %llu is lost", id,
                       (unsigned long long)fence);
    if (count && at + count == t->made)
        return false; // it was done before
    if (t->paused)
        return sq_fail(c, NRPC_ABORTED, "task %llu is paused", id);
    if (at != t->made)
        return sq_fail(c, NRPC_ABORTED, "a push to task %llu at %llu, but %llu were pushed", id,
                       (unsigned long long)at, (unsigned long long)t->made);
    return true;
}

int sq_push(struct state *s, uint64_t task, uint64_t fence, uint64_t at, const struct state_subtask *subtasks,
            size_t count, struct state_blob checkpoint, bool done, int progress_percent,
            struct state_queue *queue, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    struct sq_task *t = sq_task_need(&c, task);
    if (t && may_push(&c, t, fence, at, count)) {
        sq_task_append(&c, t, subtasks, count);
        t->made += count;
        t->counters.generation_done = done;
        t->progress_percent = progress_percent;
        if (checkpoint.data)
            sq_run(&c, sq_bind(&c, SQL_CHECKPOINT_PUT, "ub", task, checkpoint.data, checkpoint.bytes));
    }
    if (t)
        *queue = sq_queue(t);
    return sq_end(&c);
}

// Whether `fresh` new subtasks and the end, if this is to be it, may be added.
static bool may_feed(struct sq_call *c, const struct sq_task *t, uint64_t at, size_t fresh, bool finish)
{
    unsigned long long id = t->id;
    bool repeated = t->counters.generation_done && !fresh;
    if (!t->fed)
        return sq_fail(c, NRPC_FAILED_PRECONDITION, "task %llu has a generator, it cannot be fed", id);
    if (t->phase >= MODEL_STOPPING && !repeated)
        return sq_fail(c, NRPC_ABORTED, "task %llu is %s", id, model_phase_name(t->phase));
    if (at > t->made)
        return sq_fail(c, NRPC_OUT_OF_RANGE, "feeding task %llu at %llu leaves a gap: %llu were fed", id,
                       (unsigned long long)at, (unsigned long long)t->made);
    if (repeated || (!fresh && !finish))
        return false;
    if (t->counters.generation_done)
        return sq_fail(c, NRPC_FAILED_PRECONDITION, "task %llu was finished at %llu subtasks", id,
                       (unsigned long long)t->made);
    if (fresh && sq_fresh(t) >= STATE_QUEUE_HIGH)
        return sq_fail(c, NRPC_RESOURCE_EXHAUSTED, "the queue of task %llu is full: %llu subtasks", id,
                       (unsigned long long)sq_fresh(t));
    if (fresh && state_queue_is_full(sq_queue(t)))
        return sq_fail(c, NRPC_RESOURCE_EXHAUSTED,
                       "the queue of task %llu is full: %llu bytes of large parameters", id,
                       (unsigned long long)t->queued_bytes);
    return true;
}

int sq_feed(struct state *s, uint64_t task, uint64_t at, const struct state_subtask *subtasks, size_t count,
            bool finish, uint64_t *fed, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    struct sq_task *t = sq_task_need(&c, task);
    if (t) {
        uint64_t known = at < t->made ? t->made - at : 0;
        size_t skip = known < count ? (size_t)known : count;
        if (may_feed(&c, t, at, count - skip, finish)) {
            sq_task_append(&c, t, subtasks + skip, count - skip);
            t->made += count - skip;
            t->counters.generation_done = finish;
        }
        *fed = t->made;
    }
    return sq_end(&c);
}
