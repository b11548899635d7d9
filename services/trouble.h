// SPDX-License-Identifier: Apache-2.0
// trouble.h: what the roles of a process say when a store does not answer: a line, and then one a minute with
// the number of those that were left out, however many calls fail. When it began and when it was over is said
// by store_watch.
#ifndef SERVICES_TROUBLE_H
#define SERVICES_TROUBLE_H

#include "base/status.h"

#include <stdatomic.h>
#include <stdint.h>

struct trouble {
    _Atomic int64_t quiet_until_us; // on the monotonic clock
    _Atomic uint64_t unsaid;
};

// "<what>, will try again: <why>". A code other than UNAVAILABLE is said in any case. Any thread.
void trouble_say(struct trouble *t, const struct nrpc_status *st, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
