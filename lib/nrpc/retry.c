// SPDX-License-Identifier: Apache-2.0
// retry.c: exponential backoff with jitter, server pushback, a budget.
#include "nrpc/retry.h"

enum { FAILURE_COSTS = 10, SUCCESS_EARNS = 1, JITTER_PERCENT = 20 };

void retry_succeeded(struct retry_budget *b)
{
    if (b->tenths < RETRY_TENTHS_MAX)
        b->tenths += SUCCESS_EARNS;
}

void retry_failed(struct retry_budget *b)
{
    b->tenths = b->tenths > FAILURE_COSTS ? b->tenths - FAILURE_COSTS : 0;
}

static int64_t backoff_us(const struct nrpc_retry_options *o, unsigned attempts, uint32_t random)
{
    int64_t ms = o->backoff_ms;
    for (unsigned i = 1; i < attempts && ms < o->backoff_max_ms; i++)
        ms *= 2;
    ms = ms < o->backoff_max_ms ? ms : o->backoff_max_ms;
    int64_t spread = ms * 10 * JITTER_PERCENT; // in us
    return ms * 1000 - spread + (int64_t)((uint64_t)random * (uint64_t)(2 * spread) >> 32);
}

int64_t retry_wait_us(const struct retry_budget *b, const struct nrpc_retry_options *o, unsigned attempts,
                      int code, int64_t pushback_ms, uint32_t random)
{
    bool may = code == NRPC_UNAVAILABLE || (code == NRPC_RESOURCE_EXHAUSTED && pushback_ms > 0);
    if (!may || pushback_ms < 0 || attempts >= o->max_attempts || b->tenths < RETRY_TENTHS_MAX / 2)
        return -1;
    return pushback_ms > 0 ? pushback_ms * 1000 : backoff_us(o, attempts, random);
}
