// SPDX-License-Identifier: Apache-2.0
// requests_results.c: TaskService.Results: results that are kept, and what failed.
#include "manager_internal.h"

#include "base/budget.h"
#include "dtf/v1/task_service.nrpc.h"

enum { RESULTS_DEFAULT = 1000, RESULTS_MAX = 10000 };

static Dtf__V1__Result *result_message(struct arena *a, uint64_t seq, uint32_t attempt, enum model_kind kind,
                                       int32_t code, const char *message, const void *body, size_t body_bytes,
                                       int64_t run_us)
{
    Dtf__V1__Result *m = arena_alloc(a, sizeof *m);
    dtf__v1__result__init(m);
    m->subtask_id = seq;
    m->attempt = attempt;
    m->kind = (Dtf__V1__ResultKind)kind;
    m->code = code;
    m->message = (char *)(message ? message : "");
    m->body.data = (uint8_t *)body;
    m->body.len = body_bytes;
    m->run_us = (uint64_t)run_us;
    return m;
}

// param: NULL, or the subtask's. false: it does not fit, and stays for the next answer.
static bool add_result(Dtf__V1__ResultsResponse *out, struct budget *room, Dtf__V1__Result *result,
                       const ProtobufCBinaryData *param, uint64_t position)
{
    if (!budget_take(room,
                     dtf__v1__result__get_packed_size(result) + (param ? param->len + BUDGET_PART_BYTES : 0)))
        return false;
    out->results[out->n_results++] = result;
    if (param)
        out->params[out->n_params++] = *param;
    out->next = position;
    return true;
}

static void make_room(Dtf__V1__ResultsResponse *out, struct arena *a, size_t count)
{
    out->results = arena_alloc(a, (count + 1) * sizeof *out->results);
    out->params = arena_alloc(a, (count + 1) * sizeof *out->params);
}

static int read_kept(struct manager *m, const Dtf__V1__ResultsRequest *q, bool failures, size_t limit,
                     Dtf__V1__ResultsResponse *out, struct nrpc_status *st)
{
    struct state_result *results;
    size_t count;
    bool end = false;
    const struct state_ops *ops = m->env->state->ops;
    int code =
        failures
            ? ops->failures(m->env->state, q->task_id, q->after, limit, &m->arena, &results, &count, st)
            : ops->results(m->env->state, q->task_id, q->after, limit, &m->arena, &results, &count, &end, st);
    if (code)
        return code;
    make_room(out, &m->arena, count);
    struct budget room = budget_of_message();
    for (size_t i = 0; i < count && !room.cut; i++) {
        const struct state_result *r = &results[i];
        ProtobufCBinaryData param = {r->param.bytes, (uint8_t *)r->param.data};
        add_result(out, &room,
                   result_message(&m->arena, r->seq, r->attempt, r->kind, r->code, r->message, r->body.data,
                                  r->body.bytes, r->run_us),
                   failures ? &param : NULL, r->position);
    }
    out->end = end && !room.cut;
    return NRPC_OK;
}

// The failures of a task that has ended are in its record.
static int read_recorded_failures(struct manager *m, const Dtf__V1__ResultsRequest *q, size_t limit,
                                  Dtf__V1__ResultsResponse *out, struct nrpc_status *st)
{
    struct records_failure *failures;
    size_t count;
    int code = m->env->records->ops->failures(m->env->records, q->task_id, q->after, limit, &m->arena,
                                              &failures, &count, st);
    if (code)
        return code;
    make_room(out, &m->arena, count);
    struct budget room = budget_of_message();
    for (size_t i = 0; i < count && !room.cut; i++) {
        const struct records_failure *f = &failures[i];
        ProtobufCBinaryData param = {f->param.bytes, (uint8_t *)f->param.data};
        add_result(out, &room,
                   result_message(&m->arena, f->seq, f->attempt, f->kind, f->code, f->message, f->body.data,
                                  f->body.bytes, f->run_us),
                   &param, f->seq);
    }
    out->end = count == 0;
    return NRPC_OK;
}

// The state keeps nothing of the task. While that is under way, it is being admitted (again); when it has
// ended, its results were read or have expired, or none were to be kept; or they went with a state that may
// lose what it has.
static int explain_no_results(struct manager *m, const struct records_task *t, bool *end,
                              struct nrpc_status *st)
{
    *end = model_status_is_terminal(t->status);
    if (!*end)
        return NRPC_OK;
    Dtf__V1__TaskParam *p = dtf__v1__task_param__unpack(&m->arena.allocator, t->param.bytes, t->param.data);
    if (p && !p->keep_results)
        return NRPC_OK;
    return status_set(
        st, NRPC_DATA_LOSS,
        "the results of task %llu are no longer kept: they were read to their end before, have expired, "
        "or were lost with the state",
        (unsigned long long)t->id);
}

void requests_results(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    const Dtf__V1__ResultsRequest *q = r->message;
    Dtf__V1__ResultsResponse response = DTF__V1__RESULTS_RESPONSE__INIT;
    struct nrpc_status st;
    struct records_task t = {0};
    response.next = q->after;
    size_t limit = (size_t)requests_page(q->limit, RESULTS_DEFAULT, RESULTS_MAX);
    int code = model_check_number("after", q->after, &st);
    if (code == NRPC_OK)
        code = m->env->records->ops->get(m->env->records, q->task_id, &m->arena, &t, &st);
    if (code == NRPC_OK && q->failed_only && model_status_is_terminal(t.status))
        code = read_recorded_failures(m, q, limit, &response, &st);
    else if (code == NRPC_OK)
        code = read_kept(m, q, q->failed_only, limit, &response, &st);
    if (code == NRPC_NOT_FOUND && t.id == q->task_id && !q->failed_only) {
        bool end;
        code = explain_no_results(m, &t, &end, &st);
        response.end = end;
        if (!end)
            requests_admit_met(m, q->task_id);
    }
    if (code == NRPC_OK && last && response.n_results && !q->failed_only)
        finds_suspect(&m->finds, q->task_id, STATE_HINT_RESULTS - 1, STATE_HINT_RESULTS, "it has results",
                      now_ms);
    if (code)
        nrpc_reply_status(r->call, &st);
    else if (response.n_results || response.end ||
             !requests_park(m, r, q->task_id, PARKED_RESULTS | PARKED_END, q->wait_ms, now_ms, last))
        dtf_v1_task_service_results_reply(r->call, &response);
}
