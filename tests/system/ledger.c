// SPDX-License-Identifier: Apache-2.0
// ledger.c: a task type for system tests, as a plugin: subtask i returns the number i; every tenth adds a
// follow-up that returns 1,000,000 + i. Whoever reads the results can tell whether anything was skipped or
// counted twice.
#include "system/ledger.h"

#include "dtf.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct counter {
    struct ledger_param param;
    uint64_t made;
};

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    if (task->param_bytes != sizeof(struct ledger_param))
        return status_set(st, NRPC_INVALID_ARGUMENT, "the parameter of ledger is a struct ledger_param");
    struct counter *c = calloc(1, sizeof *c);
    if (!c)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "out of memory");
    memcpy(&c->param, task->param, sizeof c->param);
    if (saved_bytes == sizeof c->made)
        memcpy(&c->made, saved, sizeof c->made);
    *state = c;
    return NRPC_OK;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct counter *c = state;
    static _Thread_local struct ledger_subtask s;
    if (c->made == c->param.count)
        return DTF_NEXT_FINISHED;
    s = (struct ledger_subtask){++c->made, c->param.run_us};
    *out = (struct dtf_subtask_spec){.param = &s, .param_bytes = sizeof s};
    return DTF_NEXT_SUBTASK;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    dtf_buffer_append(out, &((struct counter *)state)->made, sizeof(uint64_t));
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    struct ledger_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    struct pollfd p = {dtf_execution_cancel_fd(x), POLLIN, 0};
    struct timespec t = {0, (long)(s.run_us * (s.index % 7) * 1000)};
    if (s.run_us && ppoll(&p, 1, &t, NULL) > 0)
        return status_set(st, NRPC_CANCELLED, "cancelled");
    dtf_execution_set_body(x, &s.index, sizeof s.index);
    return NRPC_OK;
}

static void after_execution(void *user, const struct dtf_subtask *subtask, const struct dtf_result *result,
                            struct dtf_followups *followups, bool *finished)
{
    (void)user;
    (void)finished;
    struct ledger_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    if (result->kind != DTF_RESULT_SUCCESS || s.index % 10 || s.index >= LEDGER_FOLLOWUP)
        return;
    s.index += LEDGER_FOLLOWUP;
    dtf_followup_add(followups, &(struct dtf_subtask_spec){.param = &s, .param_bytes = sizeof s}, NULL);
}

static const struct dtf_generator generator = {
    .begin = begin, .next = next, .save_status = save_status, .end = free};
static const struct dtf_executor executor = {.execute = execute};
static const struct dtf_collector_callback collector = {.after_execution = after_execution};
static const struct dtf_task_type types[] = {
    {.name = "ledger",
     .description = "returns its number",
     .conf = {.iteration = DTF_ITERATION_COLLECTOR},
     .generator = &generator,
     .executor = &executor,
     .collector = &collector},
};

const struct dtf_plugin dtf_plugin_v1 = {.abi = DTF_PLUGIN_ABI, .type_count = 1, .types = types};
