// SPDX-License-Identifier: Apache-2.0
// requests_feed.c: TaskService.Feed: subtasks that a client brings.
#include "manager_internal.h"

#include "dtf.h"
#include "dtf/v1/task_service.nrpc.h"

enum { FEED_MAX = 10000 };

static int check_feed(const Dtf__V1__FeedRequest *q, struct nrpc_status *st)
{
    if (model_check_number("at", q->at, st))
        return NRPC_INVALID_ARGUMENT;
    if (q->n_subtasks > FEED_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "subtasks: %zu are over the limit of %d", q->n_subtasks,
                          FEED_MAX);
    for (size_t i = 0; i < q->n_subtasks; i++) {
        if (q->subtasks[i]->param.len > DTF_SUBTASK_PARAM_MAX)
            return status_set(st, NRPC_INVALID_ARGUMENT,
                              "subtasks: entry %zu: param of %zu bytes is over the limit of %d", i,
                              q->subtasks[i]->param.len, DTF_SUBTASK_PARAM_MAX);
        if (q->subtasks[i]->timeout_ms > DTF_SUBTASK_TIMEOUT_MAX_MS)
            return status_set(st, NRPC_INVALID_ARGUMENT, "subtasks: entry %zu: timeout_ms is over %d", i,
                              DTF_SUBTASK_TIMEOUT_MAX_MS);
    }
    return NRPC_OK;
}

struct fed {
    struct nrpc_call *call;
    uint64_t count;
};

// What the state holds for the moment only is recorded before it is acknowledged.
static int record_fed(struct manager *m, const Dtf__V1__FeedRequest *q, struct nrpc_status *st)
{
    if (!m->env->state->disposable || (!q->n_subtasks && !q->finish))
        return NRPC_OK;
    size_t size = dtf__v1__feed_request__get_packed_size(q);
    uint8_t *packed = arena_alloc(&m->arena, size);
    dtf__v1__feed_request__pack(q, packed);
    int code = m->env->records->ops->put_fed(m->env->records, q->task_id, q->at, q->n_subtasks, q->finish,
                                             (struct records_blob){packed, size}, st);
    return code == NRPC_NOT_FOUND ? NRPC_OK : code; // it has just ended
}

// What the state has of it is given up; it is admitted again when that is gone.
static bool is_dropped(struct manager *m, uint64_t task)
{
    struct state_progress p;
    struct nrpc_status st;
    return m->env->state->ops->progress(m->env->state, &task, 1, &m->arena, &p, &st) == NRPC_OK && p.found &&
           p.outcome == MODEL_OUTCOME_DROPPED;
}

// A task that the state does not know, or not as far as the client, while its record says that it is under
// way, is being restored.
static int explain_feed(struct manager *m, uint64_t task, int code, struct nrpc_status *st)
{
    struct records_task t;
    struct nrpc_status own;
    bool missing = code == NRPC_NOT_FOUND || code == NRPC_OUT_OF_RANGE;
    if (!m->env->state->disposable || (!missing && !(code == NRPC_ABORTED && is_dropped(m, task))))
        return code;
    int known = m->env->records->ops->get(m->env->records, task, &m->arena, &t, &own);
    if (known == NRPC_NOT_FOUND || (known == NRPC_OK && model_status_is_terminal(t.status)))
        return code;
    if (known) { // nobody can say whether there is such a task
        *st = own;
        return known;
    }
    if (missing && (code == NRPC_NOT_FOUND ? repair_task : repair_feed)(m, task, &own)) {
        *st = own;
        return own.code;
    }
    return status_set(st, NRPC_UNAVAILABLE, "task %llu is being restored; try again",
                      (unsigned long long)task);
}

// A feed that finished a task is made again, since its answer was lost, and the task has come to its end
// meanwhile. Nobody knows any more how many were fed, but not more than all that there were.
static bool was_finished_by(struct manager *m, const Dtf__V1__FeedRequest *q)
{
    struct records_task t;
    struct nrpc_status st;
    return q->finish &&
           m->env->records->ops->get(m->env->records, q->task_id, &m->arena, &t, &st) == NRPC_OK &&
           t.status == MODEL_COMPLETED && q->at + q->n_subtasks <= t.counters.generated;
}

void requests_feed(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    const Dtf__V1__FeedRequest *q = r->message;
    uint64_t fed = 0;
    struct nrpc_status st;
    int code = check_feed(q, &st);
    if (code == NRPC_OK)
        feeders_heard(m, q->task_id, now_ms);
    struct state_subtask *subtasks = arena_alloc(&m->arena, (q->n_subtasks + 1) * sizeof *subtasks);
    for (size_t i = 0; i < q->n_subtasks; i++)
        subtasks[i] = (struct state_subtask){{q->subtasks[i]->param.data, q->subtasks[i]->param.len},
                                             model_timeout_ms(q->subtasks[i]->timeout_ms)};
    if (code == NRPC_OK)
        code = m->env->state->ops->feed(m->env->state, q->task_id, q->at, subtasks, q->n_subtasks, q->finish,
                                        &fed, &st);
    if (code == NRPC_NOT_FOUND && was_finished_by(m, q)) {
        code = NRPC_OK;
        fed = q->at + q->n_subtasks;
    } else {
        code = code ? explain_feed(m, q->task_id, code, &st) : record_fed(m, q, &st);
    }
    if (code == NRPC_OK && last)
        finds_suspect(&m->finds, q->task_id, STATE_HINT_GENERATE - 1, STATE_HINT_GENERATE,
                      "its queue has room", now_ms);
    if (code == NRPC_OK) {
        mem_grow(&m->fed, &m->fed_capacity, m->fed_count + 1, sizeof *m->fed);
        m->fed[m->fed_count++] = (struct fed){r->call, fed};
    } else if (code != NRPC_RESOURCE_EXHAUSTED || !requests_park(m, r, q->task_id, PARKED_ROOM | PARKED_END,
                                                                 MANAGER_WAIT_MAX_MS, now_ms, last)) {
        nrpc_reply_status(r->call, &st);
    }
}

// Acknowledged means durable: one wait for the disk for all that fed in this step.
void requests_feed_all(struct manager *m)
{
    struct nrpc_status st;
    if (!m->fed_count)
        return;
    int code = m->env->state->ops->sync(m->env->state, &st);
    for (size_t i = 0; i < m->fed_count; i++) {
        Dtf__V1__FeedResponse response = DTF__V1__FEED_RESPONSE__INIT;
        response.fed = m->fed[i].count;
        if (code)
            nrpc_reply_status(m->fed[i].call, &st);
        else
            dtf_v1_task_service_feed_reply(m->fed[i].call, &response);
    }
    m->fed_count = 0;
}
