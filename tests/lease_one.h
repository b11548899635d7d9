// SPDX-License-Identifier: Apache-2.0
// lease_one.h: a lease to one node, for tests.
#ifndef TESTS_LEASE_ONE_H
#define TESTS_LEASE_ONE_H

#include "state/state.h"

// budget and left may be NULL.
static inline int lease_one(struct state *s, uint64_t node, uint64_t most, int64_t now_ms,
                            const struct state_pick *picks, size_t pick_count, struct budget *budget,
                            uint32_t *left, struct arena *a, struct state_work **work, size_t *count,
                            struct nrpc_status *st)
{
    struct state_taker to = {.node = node, .most = most, .picks = picks, .pick_count = pick_count};
    if (budget)
        to.budget = *budget;
    int code = s->ops->lease(s, now_ms, &to, 1, a, st);
    if (budget)
        *budget = to.budget;
    for (size_t i = 0; left && i < pick_count; i++)
        left[i] = to.left ? to.left[i] : 0;
    *work = to.work;
    *count = to.count;
    return code ? code : to.code;
}

#endif
