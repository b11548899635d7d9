// SPDX-License-Identifier: Apache-2.0
// task.c: the tables of a task's life, and when a subtask gets another try.
#include "model/task.h"

#include "dtf.h"

#include <stddef.h>

enum { STATUS_COUNT = MODEL_TIMED_OUT + 1 };

static const char *const status_names[STATUS_COUNT] = {
    [MODEL_CREATED] = "created",     [MODEL_RUNNING] = "running",     [MODEL_PAUSED] = "paused",
    [MODEL_CANCELLED] = "cancelled", [MODEL_COMPLETED] = "completed", [MODEL_FAILED] = "failed",
    [MODEL_TIMED_OUT] = "timed_out",
};

#define FINISHES                                                                                             \
    [MODEL_FINISH_COMPLETED] = MODEL_COMPLETED, [MODEL_FINISH_CANCELLED] = MODEL_CANCELLED,                  \
    [MODEL_FINISH_FAILED] = MODEL_FAILED, [MODEL_FINISH_TIMED_OUT] = MODEL_TIMED_OUT

// What is not named is not legal. A task may be paused before it was admitted; admitting it leaves it paused.
static const unsigned char status_table[STATUS_COUNT][MODEL_EVENT_COUNT] = {
    [MODEL_CREATED] = {[MODEL_ADMIT] = MODEL_RUNNING,
                       [MODEL_PAUSE] = MODEL_PAUSED,
                       [MODEL_RESUME] = MODEL_CREATED,
                       FINISHES},
    [MODEL_RUNNING] = {[MODEL_ADMIT] = MODEL_RUNNING,
                       [MODEL_PAUSE] = MODEL_PAUSED,
                       [MODEL_RESUME] = MODEL_RUNNING,
                       FINISHES},
    [MODEL_PAUSED] = {[MODEL_ADMIT] = MODEL_PAUSED,
                      [MODEL_PAUSE] = MODEL_PAUSED,
                      [MODEL_RESUME] = MODEL_RUNNING,
                      FINISHES},
    [MODEL_COMPLETED] = {[MODEL_FINISH_COMPLETED] = MODEL_COMPLETED},
    [MODEL_CANCELLED] = {[MODEL_FINISH_CANCELLED] = MODEL_CANCELLED},
    [MODEL_FAILED] = {[MODEL_FINISH_FAILED] = MODEL_FAILED},
    [MODEL_TIMED_OUT] = {[MODEL_FINISH_TIMED_OUT] = MODEL_TIMED_OUT},
};

static const char *const phase_names[] = {
    [MODEL_GENERATING] = "generating", [MODEL_DRAINING] = "draining", [MODEL_STOPPING] = "stopping",
    [MODEL_CLOSING] = "closing",       [MODEL_CLOSED] = "closed",
};

static const struct {
    const char *name;
    enum model_event event;
} outcomes[] = {
    [MODEL_OUTCOME_NONE] = {"none", MODEL_EVENT_COUNT},
    [MODEL_OUTCOME_COMPLETED] = {"completed", MODEL_FINISH_COMPLETED},
    [MODEL_OUTCOME_CANCELLED] = {"cancelled", MODEL_FINISH_CANCELLED},
    [MODEL_OUTCOME_FAILED] = {"failed", MODEL_FINISH_FAILED},
    [MODEL_OUTCOME_TIMED_OUT] = {"timed_out", MODEL_FINISH_TIMED_OUT},
    [MODEL_OUTCOME_DROPPED] = {"dropped", MODEL_EVENT_COUNT},
};

const char *model_status_name(int status)
{
    return status >= MODEL_CREATED && status < STATUS_COUNT ? status_names[status] : "unknown";
}

bool model_status_is_terminal(int status)
{
    return status >= MODEL_CANCELLED && status <= MODEL_TIMED_OUT;
}

enum model_status model_status_after(enum model_status status, enum model_event event)
{
    if ((unsigned)status >= STATUS_COUNT || (unsigned)event >= MODEL_EVENT_COUNT)
        return 0;
    return status_table[status][event];
}

const char *model_phase_name(enum model_phase phase)
{
    return phase >= MODEL_GENERATING && phase <= MODEL_CLOSED ? phase_names[phase] : "unknown";
}

const char *model_outcome_name(enum model_outcome outcome)
{
    return (unsigned)outcome <= MODEL_OUTCOME_DROPPED ? outcomes[outcome].name : "unknown";
}

enum model_event model_outcome_event(enum model_outcome outcome)
{
    return (unsigned)outcome <= MODEL_OUTCOME_DROPPED ? outcomes[outcome].event : MODEL_EVENT_COUNT;
}

static bool failed_too_often(const struct model_counters *c, const struct model_policy *policy)
{
    return policy->tolerated_failures >= 0 && c->failed + c->timed_out > (uint64_t)policy->tolerated_failures;
}

enum model_phase model_phase_next(enum model_phase phase, const struct model_counters *counters,
                                  const struct model_policy *policy, bool closing_callback,
                                  enum model_outcome *outcome)
{
    *outcome = MODEL_OUTCOME_NONE;
    if (phase != MODEL_GENERATING && phase != MODEL_DRAINING && phase != MODEL_STOPPING)
        return phase;
    bool empty = !counters->queued && !counters->running;
    bool done = phase == MODEL_STOPPING || counters->generation_done;
    if (phase != MODEL_STOPPING && failed_too_often(counters, policy)) {
        *outcome = MODEL_OUTCOME_FAILED;
        done = true;
        phase = MODEL_STOPPING;
    }
    if (!done)
        return MODEL_GENERATING;
    if (!empty)
        return phase == MODEL_GENERATING ? MODEL_DRAINING : phase;
    if (phase != MODEL_STOPPING)
        *outcome = MODEL_OUTCOME_COMPLETED;
    return closing_callback ? MODEL_CLOSING : MODEL_CLOSED;
}

int64_t model_backoff_ms(const struct model_policy *policy, uint32_t failures)
{
    int64_t ms = policy->retry_backoff_ms ? policy->retry_backoff_ms : DTF_RETRY_BACKOFF_MS;
    while (failures-- && ms < DTF_RETRY_BACKOFF_MAX_MS)
        ms *= 2;
    return ms < DTF_RETRY_BACKOFF_MAX_MS ? ms : DTF_RETRY_BACKOFF_MAX_MS;
}

enum model_verdict model_retry(const struct model_policy *policy, enum model_kind kind, uint32_t failures,
                               uint32_t losses, uint32_t losses_max, int64_t *delay_ms)
{
    *delay_ms = 0;
    switch (kind) {
    case MODEL_SUCCESS:
    case MODEL_CANCELLED_RESULT:
        return MODEL_SETTLE;
    case MODEL_LOST:
        return losses < losses_max ? MODEL_RETRY : MODEL_SETTLE;
    case MODEL_FAILURE:
    case MODEL_TIMEOUT:
        if (failures >= policy->max_retries)
            return MODEL_SETTLE;
        *delay_ms = model_backoff_ms(policy, failures);
        return MODEL_RETRY;
    }
    return MODEL_SETTLE;
}

uint32_t model_timeout_ms(uint32_t asked_ms)
{
    return asked_ms ? asked_ms : DTF_SUBTASK_TIMEOUT_MS;
}

int model_check_number(const char *name, uint64_t number, struct nrpc_status *st)
{
    if (number <= MODEL_NUMBER_MAX)
        return NRPC_OK;
    return status_set(st, NRPC_INVALID_ARGUMENT, "%s: %llu is over the largest number, 2^53 - 1", name,
                      (unsigned long long)number);
}
