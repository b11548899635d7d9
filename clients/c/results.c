// SPDX-License-Identifier: Apache-2.0
// results.c: reads the kept results of a task, or its failures.
//
// Reading is safe to repeat: the server frees only what lies before the cursor, and the cursor moves with an
// answer.
#include "client.h"

#include "base/clock.h"
#include "dtf/v1/task_service.nrpc.h"

static void hand_out(const Dtf__V1__ResultsResponse *response, dtf_result_fn each, void *user)
{
    for (size_t i = 0; i < response->n_results; i++) {
        const Dtf__V1__Result *r = response->results[i];
        struct dtf_task_result result = {
            .subtask_id = r->subtask_id,
            .attempt = r->attempt,
            .result = {.kind = (enum dtf_result_kind)r->kind,
                       .code = r->code,
                       .message = r->message,
                       .body = r->body.data,
                       .body_bytes = r->body.len,
                       .run_us = (int64_t)r->run_us},
        };
        if (i < response->n_params) {
            result.param = response->params[i].data;
            result.param_bytes = response->params[i].len;
        }
        each(user, &result);
    }
}

static int read_once(struct dtf_client *c, const Dtf__V1__ResultsRequest *request,
                     Dtf__V1__ResultsResponse **response, struct nrpc_status *st)
{
    struct nrpc_call_options options = {.timeout_ms = (int64_t)request->wait_ms + CLIENT_WAIT_SPARE_MS};
    return client_note(c, dtf_v1_task_service_results(c->channel, &options, request, response, st));
}

int dtf_task_results(struct dtf_client *c, uint64_t task_id, uint64_t *cursor, int64_t wait_ms,
                     bool failed_only, dtf_result_fn each, void *user, bool *end, struct nrpc_status *st)
{
    int64_t deadline_us = client_deadline_us(wait_ms);
    const struct client_backoff start = {100, 2000};
    struct client_backoff backoff = start;
    struct client_tries again = {0};
    *end = false;
    for (;;) {
        Dtf__V1__ResultsRequest request = DTF__V1__RESULTS_REQUEST__INIT;
        request.task_id = task_id;
        request.after = *cursor;
        request.failed_only = failed_only;
        request.wait_ms = (uint64_t)client_left_ms(deadline_us, CLIENT_WAIT_MS);
        Dtf__V1__ResultsResponse *response;
        int code = read_once(c, &request, &response, st);
        int64_t left_ms = client_left_ms(deadline_us, INT64_MAX);
        if (code &&
            !client_keeps_on(c, &again, &backoff, code, st, c->patience_ms >= 0 ? INT64_MAX : left_ms))
            return code;
        if (code)
            continue;
        hand_out(response, each, user);
        bool done = response->n_results || response->end || !left_ms;
        *cursor = response->next;
        *end = response->end;
        dtf__v1__results_response__free_unpacked(response, NULL);
        if (done)
            return NRPC_OK;
        backoff = start;
        again = (struct client_tries){0};
    }
}
