// SPDX-License-Identifier: Apache-2.0
// noop.c: the task type of the benchmarks, as a plugin: param is the number of subtasks, and, if it is
// longer, how large the parameter of each is (100 bytes); each does nothing.
#include "dtf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct counter {
    uint64_t made, total;
    size_t bytes; // of a subtask's parameter
};

struct param { // the first field alone will do
    uint64_t total, bytes;
};

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    struct param param = {.bytes = 100};
    bool fits = task->param_bytes == sizeof param.total || task->param_bytes == sizeof param;
    if (fits)
        memcpy(&param, task->param, task->param_bytes);
    struct counter *c = calloc(1, sizeof *c);
    if (!c || !fits || param.bytes > DTF_SUBTASK_PARAM_MAX) {
        free(c);
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the parameter of noop is a 64-bit number, or two: subtasks, bytes of each (%d)",
                          DTF_SUBTASK_PARAM_MAX);
    }
    c->total = param.total;
    c->bytes = (size_t)param.bytes;
    if (saved_bytes == sizeof c->made)
        memcpy(&c->made, saved, sizeof c->made);
    *state = c;
    return NRPC_OK;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    static const char payload[DTF_SUBTASK_PARAM_MAX];
    struct counter *c = state;
    if (c->made >= c->total)
        return DTF_NEXT_FINISHED;
    c->made++;
    *out = (struct dtf_subtask_spec){.param = payload, .param_bytes = c->bytes};
    return c->made == c->total ? DTF_NEXT_LAST : DTF_NEXT_SUBTASK;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    struct counter *c = state;
    dtf_buffer_append(out, &c->made, sizeof c->made);
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    (void)subtask;
    (void)x;
    return status_ok(st);
}

static const struct dtf_generator generator = {
    .begin = begin, .next = next, .save_status = save_status, .end = free};
static const struct dtf_executor executor = {.execute = execute};
static const struct dtf_task_type types[] = {
    {.name = "noop", .description = "does nothing", .generator = &generator, .executor = &executor},
};

const struct dtf_plugin dtf_plugin_v1 = {.abi = DTF_PLUGIN_ABI, .type_count = 1, .types = types};
