// SPDX-License-Identifier: Apache-2.0
// noop.c: the task type of the benchmarks, as a plugin: param is the number of subtasks, and, as far as there
// is more, how large the parameter of each is (100 bytes), how many microseconds each sleeps (0), and whether
// unevenly (0): half as long to one and a half times.
#include "dtf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct counter {
    uint64_t made, total, run_us;
    size_t bytes; // of a subtask's parameter
    bool uneven;
    unsigned char payload[DTF_SUBTASK_PARAM_MAX]; // begins with how long it runs
};

struct param { // the first field alone will do, and so on
    uint64_t total, bytes, run_us, uneven;
};

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    struct param param = {.bytes = 100};
    bool fits = task->param_bytes && task->param_bytes <= sizeof param && task->param_bytes % 8 == 0;
    if (fits)
        memcpy(&param, task->param, task->param_bytes);
    struct counter *c = calloc(1, sizeof *c);
    if (!c || !fits || param.bytes > DTF_SUBTASK_PARAM_MAX || (param.run_us && param.bytes < 8)) {
        free(c);
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the parameter of noop is one to four 64-bit numbers: subtasks, bytes of each (at "
                          "most %d), microseconds of each (then at least 8 bytes), 1 for unevenly",
                          DTF_SUBTASK_PARAM_MAX);
    }
    c->total = param.total;
    c->bytes = (size_t)param.bytes;
    c->run_us = param.run_us;
    c->uneven = param.uneven;
    if (saved_bytes == sizeof c->made)
        memcpy(&c->made, saved, sizeof c->made);
    *state = c;
    return NRPC_OK;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct counter *c = state;
    if (c->made >= c->total)
        return DTF_NEXT_FINISHED;
    uint64_t run_us = c->run_us;
    if (c->uneven)
        run_us = run_us / 2 + run_us * (c->made * 618 % 1000) / 1000; // every length as often
    memcpy(c->payload, &run_us, sizeof run_us);
    c->made++;
    *out = (struct dtf_subtask_spec){.param = c->payload, .param_bytes = c->bytes};
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
    uint64_t us = 0;
    (void)user;
    (void)x;
    memcpy(&us, subtask->param, subtask->param_bytes < sizeof us ? subtask->param_bytes : sizeof us);
    if (us)
        nanosleep(&(struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000}, NULL);
    return status_ok(st);
}

static const struct dtf_generator generator = {
    .begin = begin, .next = next, .save_status = save_status, .end = free};
static const struct dtf_executor executor = {.execute = execute};
static const struct dtf_task_type types[] = {
    {.name = "noop", .description = "does nothing", .generator = &generator, .executor = &executor},
};

const struct dtf_plugin dtf_plugin_v1 = {.abi = DTF_PLUGIN_ABI, .type_count = 1, .types = types};
