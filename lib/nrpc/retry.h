// SPDX-License-Identifier: Apache-2.0
// retry.h: whether and when a failed call is tried again. Pure functions.
#ifndef NRPC_RETRY_H
#define NRPC_RETRY_H

#include "nrpc/nrpc.h"

// Against retry storms, as gRPC's throttling: a failure costs ten tenths of a token, a success earns one;
// below half of the tokens nothing is retried.
struct retry_budget {
    int tenths; // 0..RETRY_TENTHS_MAX
};
enum { RETRY_TENTHS_MAX = 1000 };

void retry_succeeded(struct retry_budget *b);
void retry_failed(struct retry_budget *b);

// How long to wait before the next attempt, in microseconds; below 0: there is none. attempts: so far;
// pushback_ms: what the server said, 0: nothing, below 0: never; random: any bits.
int64_t retry_wait_us(const struct retry_budget *b, const struct nrpc_retry_options *o, unsigned attempts,
                      int code, int64_t pushback_ms, uint32_t random);

#endif
