// SPDX-License-Identifier: Apache-2.0
// noop.c: the task type of the benchmarks, as a plugin: param is the number of subtasks; each does nothing.
#include "dtf.h"

#include <stdlib.h>
#include <string.h>

struct counter {
    uint64_t made, total;
};

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    struct counter *c = calloc(1, sizeof *c);
    if (!c || task->param_bytes != sizeof c->total) {
        free(c);
        return status_set(st, NRPC_INVALID_ARGUMENT, "the parameter of noop is a 64-bit number");
    }
    memcpy(&c->total, task->param, sizeof c->total);
    if (saved_bytes == sizeof c->made)
        memcpy(&c->made, saved, sizeof c->made);
    *state = c;
    return NRPC_OK;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    static const char payload[100];
    struct counter *c = state;
    if (c->made >= c->total)
        return DTF_NEXT_FINISHED;
    c->made++;
    *out = (struct dtf_subtask_spec){.param = payload, .param_bytes = sizeof payload};
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
