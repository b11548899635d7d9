// SPDX-License-Identifier: Apache-2.0
// numbers.c: prints, when the scripts are made, the numbers that they share with C, as Lua.
#include "dtf.h"
#include "model/task.h"
#include "state/state.h"
#include "state/state_redis.h"

#include <stdio.h>

static const struct {
    const char *name;
    long long value;
} numbers[] = {
    {"NOT_FOUND", NRPC_NOT_FOUND},
    {"RESOURCE_EXHAUSTED", NRPC_RESOURCE_EXHAUSTED},
    {"FAILED_PRECONDITION", NRPC_FAILED_PRECONDITION},
    {"ABORTED", NRPC_ABORTED},
    {"OUT_OF_RANGE", NRPC_OUT_OF_RANGE},
    {"GENERATING", MODEL_GENERATING},
    {"DRAINING", MODEL_DRAINING},
    {"STOPPING", MODEL_STOPPING},
    {"CLOSING", MODEL_CLOSING},
    {"CLOSED", MODEL_CLOSED},
    {"OUTCOME_COMPLETED", MODEL_OUTCOME_COMPLETED},
    {"OUTCOME_FAILED", MODEL_OUTCOME_FAILED},
    {"OUTCOME_DROPPED", MODEL_OUTCOME_DROPPED},
    {"SUCCESS", MODEL_SUCCESS},
    {"FAILURE", MODEL_FAILURE},
    {"TIMEOUT", MODEL_TIMEOUT},
    {"CANCELLED", MODEL_CANCELLED_RESULT},
    {"LOST", MODEL_LOST},
    {"HINT_SETTLED", STATE_HINT_SETTLED},
    {"HINT_VIEW", STATE_HINT_VIEW},
    {"HINT_GENERATE", STATE_HINT_GENERATE},
    {"HINT_STOP", STATE_HINT_STOP},
    {"HINT_RESULTS", STATE_HINT_RESULTS},
    {"HINT_CLOSING", STATE_HINT_CLOSING},
    {"HINT_CLOSED", STATE_HINT_CLOSED},
    {"HINT_GONE", STATE_HINT_GONE},
    {"HINT_DAMAGED", STATE_HINT_DAMAGED},
    {"QUEUE_HIGH", STATE_QUEUE_HIGH},
    {"QUEUE_LOW", STATE_QUEUE_LOW},
    {"QUEUE_BYTES_HIGH", STATE_QUEUE_BYTES_HIGH},
    {"QUEUE_BYTES_LOW", STATE_QUEUE_BYTES_LOW},
    {"LARGE_PARAM", STATE_PARAM_LARGE},
    {"RESULTS_HIGH", STATE_RESULTS_HIGH},
    {"BATCH_BYTES", STATE_BATCH_BYTES},
    {"LOSSES_MAX", STATE_LOSSES_MAX},
    {"LEASE_SPARE_MS", STATE_LEASE_SPARE_MS},
    {"READY_TILES", STATE_READY_TILES},
    {"LEASE_MAX_MS", DTF_NODE_LEASE_MAX_MS},
    {"BACKOFF_MS", DTF_RETRY_BACKOFF_MS},
    {"BACKOFF_MAX_MS", DTF_RETRY_BACKOFF_MAX_MS},
    {"FORMAT", STATE_REDIS_FORMAT},
    {"NEVER", STATE_REDIS_NEVER},
};

int main(void)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        printf("local %s = %lld\n", numbers[i].name, numbers[i].value);
    printf("local PHASES = {");
    for (int phase = MODEL_GENERATING; phase <= MODEL_CLOSED; phase++)
        printf("'%s', ", model_phase_name((enum model_phase)phase));
    printf("}\n");
    return 0;
}
