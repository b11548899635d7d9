// SPDX-License-Identifier: Apache-2.0
// outcome.c: reads results.
#include "outcome.h"

#include <stdio.h>

void outcome_read(struct outcome *o, const struct dtf_task_result *t, bool is_command)
{
    *o = (struct outcome){0};
    if (is_command && t->result.body_bytes)
        o->output = dtf__v1__command_output__unpack(NULL, t->result.body_bytes, t->result.body);
    if (is_command && t->param_bytes)
        o->command = dtf__v1__command__unpack(NULL, t->param_bytes, t->param);
}

void outcome_free(struct outcome *o)
{
    dtf__v1__command_output__free_unpacked(o->output, NULL);
    dtf__v1__command__free_unpacked(o->command, NULL);
}

const char *outcome_kind_name(int kind)
{
    static const char *const names[] = {
        [DTF_RESULT_SUCCESS] = "success", [DTF_RESULT_FAILURE] = "failure",
        [DTF_RESULT_TIMEOUT] = "timeout", [DTF_RESULT_CANCELLED] = "cancelled",
        [DTF_RESULT_LOST] = "lost",
    };
    return kind >= DTF_RESULT_SUCCESS && kind <= DTF_RESULT_LOST ? names[kind] : "unknown";
}

// An output that is not whole is no success: what is missing cannot be had again.
bool outcome_is_cut(const struct outcome *o)
{
    return o->output && (o->output->out_cut || o->output->err_cut);
}

const char *outcome_failure(const struct outcome *o, const struct dtf_result *r, char *buffer, size_t size)
{
    switch (r->kind) {
    case DTF_RESULT_SUCCESS:
        return outcome_is_cut(o) ? "too much output: the rest is lost" : NULL;
    case DTF_RESULT_TIMEOUT:
        return "timed out";
    case DTF_RESULT_CANCELLED:
        return "cancelled";
    case DTF_RESULT_LOST:
        return "lost with its node, too often";
    case DTF_RESULT_FAILURE:
        break;
    }
    if (r->message && *r->message)
        snprintf(buffer, size, "%s", r->message);
    else
        snprintf(buffer, size, "exit code %d", r->code);
    return buffer;
}
