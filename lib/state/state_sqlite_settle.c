// SPDX-License-Identifier: Apache-2.0
// state_sqlite_settle.c: what becomes of a leased subtask: counted, or queued again.
#include "state/state_sqlite_internal.h"

// ---- peeking

static void peek_one(struct sq_call *c, const struct state_ref *ref, const struct state_holder *by,
                     struct state_peek *out)
{
    struct sq_lease l;
    *out = (struct state_peek){0};
    if (!sq_lease_find(c, ref, &l) || !sq_node_has(c, by, l.subtask->node) ||
        !sq_params_get(c, l.tile, l.seq, &out->timeout_ms, &out->param))
        return;
    if (!l.task->type_out)
        l.task->type_out = sq_out_text(c, l.task->type);
    out->type = l.task->type_out;
    out->current = true;
    out->stopping = l.task->phase >= MODEL_STOPPING;
}

int sq_peek(struct state *s, const struct state_ref *refs, const struct state_holder *by, size_t count,
            struct arena *a, struct state_peek *out, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    const struct state_holder anybody = {0};
    for (size_t i = 0; i < count; i++)
        peek_one(&c, &refs[i], by ? &by[i] : &anybody, &out[i]);
    return sq_end(&c);
}

// ---- settling

static void keep_result(struct sq_call *c, const struct sq_lease *l, const struct sq_report *r,
                        enum model_kind kind)
{
    struct sq_task *t = l->task;
    sq_run(c, sq_bind(c, SQL_RESULT_INSERT, "uuuuiitbi", t->id, sq_results_next(c, t), l->seq,
                      (uint64_t)l->subtask->attempt, (int64_t)kind, (int64_t)r->code, r->message,
                      r->body.data, r->body.bytes, r->run_us));
    t->hints |= STATE_HINT_RESULTS;
}

// Failures are numbered by the counters: each counted one is listed once.
static void list_failure(struct sq_call *c, const struct sq_lease *l, const struct sq_report *r)
{
    const struct sq_task *t = l->task;
    uint32_t timeout_ms;
    struct state_blob param;
    if (!sq_params_get(c, l->tile, l->seq, &timeout_ms, &param))
        return;
    sq_run(c, sq_bind(c, SQL_FAILURE_INSERT, "uuuuiitbib", t->id, t->counters.failed + t->counters.timed_out,
                      l->seq, (uint64_t)l->subtask->attempt, (int64_t)r->kind, (int64_t)r->code, r->message,
                      r->body.data, r->body.bytes, r->run_us, param.data, param.bytes));
}

// The kind it is counted as: when a task is stopping, only a success still tells.
static enum model_kind count_kind(struct sq_task *t, enum model_kind kind)
{
    static const size_t counters[] = {
        [MODEL_SUCCESS] = offsetof(struct model_counters, succeeded),
        [MODEL_FAILURE] = offsetof(struct model_counters, failed),
        [MODEL_TIMEOUT] = offsetof(struct model_counters, timed_out),
        [MODEL_CANCELLED_RESULT] = offsetof(struct model_counters, cancelled),
        [MODEL_LOST] = offsetof(struct model_counters, failed),
    };
    if (!sq_task_is_live(t) && kind != MODEL_SUCCESS)
        kind = MODEL_CANCELLED_RESULT;
    ++*(uint64_t *)((char *)&t->counters + counters[kind]);
    return kind;
}

static bool retry(const struct sq_call *c, const struct sq_lease *l, enum model_kind kind)
{
    struct sq_task *t = l->task;
    struct sq_subtask *subtask = l->subtask;
    int64_t delay_ms;
    if (!sq_task_is_live(t) || model_retry(&t->policy, kind, subtask->failures, subtask->losses,
                                           STATE_LOSSES_MAX, &delay_ms) != MODEL_RETRY)
        return false;
    if (kind == MODEL_LOST) {
        subtask->losses++;
        t->counters.redispatched++;
    } else {
        subtask->failures++;
        t->counters.retried++;
    }
    subtask->state = SQ_WAITING;
    subtask->due_ms = c->now_ms + delay_ms;
    t->counters.queued++;
    return true;
}

enum state_verdict sq_settle(struct sq_call *c, const struct sq_lease *l, const struct sq_report *r)
{
    struct sq_task *t = l->task;
    t->changed = l->tile->dirty = true;
    t->counters.running--;
    sq_node_count(c, l->subtask->node, -1, 0);
    l->subtask->node = 0;
    if (retry(c, l, r->kind))
        return STATE_RETRIED;
    l->subtask->state = SQ_DONE;
    enum model_kind kind = count_kind(t, r->kind);
    if (t->keep_results)
        keep_result(c, l, r, kind);
    if (kind != MODEL_SUCCESS && kind != MODEL_CANCELLED_RESULT)
        list_failure(c, l, r);
    return STATE_SETTLED;
}

static struct sq_report report_of(const struct state_settle *e)
{
    struct sq_report r = {e->kind, e->code, e->message, e->body, e->run_us};
    if (e->again && e->kind == MODEL_SUCCESS) {
        r.kind = MODEL_FAILURE;
        if (!r.message || !*r.message)
            r.message = "after_execution said that it is not finished";
    }
    return r;
}

static enum state_verdict settle_entry(struct sq_call *c, const struct state_settle *e)
{
    struct sq_lease l;
    if (!sq_lease_find(c, &e->ref, &l) || !sq_node_has(c, &e->by, l.subtask->node))
        return STATE_STALE;
    struct sq_report r = report_of(e);
    sq_node_count(c, l.subtask->node, 0, 1);
    l.task->hints |= STATE_HINT_SETTLED;
    l.task->used_count++;
    l.task->used_us += e->run_us;
    enum state_verdict verdict = sq_settle(c, &l, &r);
    if (verdict == STATE_SETTLED && e->followup_count && sq_task_is_live(l.task))
        sq_task_append(c, l.task, e->followups, e->followup_count);
    return verdict;
}

int sq_settle_batch(struct state *s, int64_t now_ms, const struct state_settle *entries, size_t count,
                    enum state_verdict *verdicts, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].kind < MODEL_SUCCESS || entries[i].kind > MODEL_LOST)
            return status_set(st, NRPC_INVALID_ARGUMENT, "%d is no kind of result", (int)entries[i].kind);
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    sq_see_time(&c, now_ms);
    for (size_t i = 0; i < count && !c.code; i++)
        verdicts[i] = settle_entry(&c, &entries[i]);
    return sq_end(&c);
}
