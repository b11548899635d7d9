// SPDX-License-Identifier: Apache-2.0
// feed.c: appends subtasks to a fed task, in calls that fit the message limit, waiting while the task's queue
// is full.
//
// A call that is repeated adds nothing twice (it says how many subtasks came before), so a lost answer is
// asked for again.
#include "client.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/mem.h"
#include "dtf/v1/task_service.nrpc.h"

#include <stdlib.h>

enum {
    BATCH_MAX = 10000,                          // subtasks in a call
    BATCH_BYTES = BUDGET_MESSAGE_BYTES / 4 * 3, // of params and their framing in a call
    FRAMING_BYTES = 24,                         // at most, around one param
    FULL_MAX_MS = 600000,                       // how long a queue may stay full
    GONE_MAX_MS = 60000,                        // how long the server may stay away
};

static int check_subtasks(const struct dtf_subtask_spec *subtasks, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++) {
        int code = client_check_size("a subtask's param", subtasks[i].param_bytes, DTF_SUBTASK_PARAM_MAX, st);
        if (code)
            return code;
        if (subtasks[i].timeout_ms > DTF_SUBTASK_TIMEOUT_MAX_MS)
            return status_set(st, NRPC_INVALID_ARGUMENT, "a subtask's timeout_ms: %u is above %d",
                              subtasks[i].timeout_ms, DTF_SUBTASK_TIMEOUT_MAX_MS);
    }
    return NRPC_OK;
}

// How many of the subtasks go into one call; at least one, as one always fits.
static size_t batch_size(const struct dtf_subtask_spec *subtasks, size_t count)
{
    size_t n = 0, bytes = 0;
    for (; n < count && n < BATCH_MAX; n++) {
        bytes += subtasks[n].param_bytes + FRAMING_BYTES;
        if (n && bytes > BATCH_BYTES)
            break;
    }
    return n;
}

static int64_t patience_ms(const struct dtf_client *c, int code)
{
    if (code == NRPC_RESOURCE_EXHAUSTED)
        return FULL_MAX_MS;
    return client_is_gone(c, code) && c->patience_ms < 0 ? GONE_MAX_MS : 0;
}

// Sends one batch until it is taken or patience ends.
static int send_batch(struct dtf_client *c, const Dtf__V1__FeedRequest *request, struct nrpc_status *st)
{
    struct nrpc_call_options options = {.timeout_ms = CLIENT_CALL_MS};
    struct client_backoff backoff = {20, 1000};
    struct client_tries again = {0};
    int64_t since_us = clock_mono_us();
    for (;;) {
        int code = client_note(c, dtf_v1_task_service_feed(c->channel, &options, request, NULL, st));
        if (client_again(c, &again, code, st, INT64_MAX))
            continue;
        if (!code || (clock_mono_us() - since_us) / 1000 >= patience_ms(c, code))
            return code;
        client_back_off(&backoff, INT64_MAX);
    }
}

struct batch { // memory for the messages of one call, used again for the next
    Dtf__V1__SubtaskSpec *specs;
    Dtf__V1__SubtaskSpec **pointers;
};

static void fill_batch(struct batch *b, const struct dtf_subtask_spec *subtasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dtf__v1__subtask_spec__init(&b->specs[i]);
        b->specs[i].param = (ProtobufCBinaryData){subtasks[i].param_bytes, (uint8_t *)subtasks[i].param};
        b->specs[i].timeout_ms = subtasks[i].timeout_ms;
        b->pointers[i] = &b->specs[i];
    }
}

int dtf_task_feed(struct dtf_client *c, uint64_t task_id, uint64_t at,
                  const struct dtf_subtask_spec *subtasks, size_t count, bool finish, struct nrpc_status *st)
{
    int code = check_subtasks(subtasks, count, st);
    size_t largest = count < BATCH_MAX ? count : BATCH_MAX, done = 0;
    struct batch b = {mem_calloc(largest, sizeof *b.specs), mem_calloc(largest, sizeof *b.pointers)};
    while (!code && (done < count || finish)) {
        size_t n = batch_size(subtasks + done, count - done);
        fill_batch(&b, subtasks + done, n);
        Dtf__V1__FeedRequest request = DTF__V1__FEED_REQUEST__INIT;
        request.task_id = task_id;
        request.at = at + done;
        request.n_subtasks = n;
        request.subtasks = b.pointers;
        request.finish = finish && done + n == count;
        code = send_batch(c, &request, st);
        done += n;
        finish = finish && !request.finish;
    }
    free(b.specs);
    free(b.pointers);
    return code ? code : status_ok(st);
}

int dtf_task_keep(struct dtf_client *c, uint64_t task_id, int64_t timeout_ms, struct nrpc_status *st)
{
    struct nrpc_call_options options = {.timeout_ms = timeout_ms};
    Dtf__V1__FeedRequest request = DTF__V1__FEED_REQUEST__INIT;
    request.task_id = task_id;
    return client_note(c, dtf_v1_task_service_feed(c->channel, &options, &request, NULL, st));
}
