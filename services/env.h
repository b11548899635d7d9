// SPDX-License-Identifier: Apache-2.0
// env.h: what every coordinator role is given, and how the roles of a process reach each other without
// knowing each other.
//
// The five roles are sisters. Each has, in services/<role>/<role>.h:
//     <role>_create(env)    makes it; touches nothing yet
//     <role>_step(self, now_ms)  everything that waits, as one batch; returns when it must run next
//     <role>_loop(self)      its inbox, for whoever calls the step
//     <role>_hint(self, hint)    something changed in the state; any thread
//     <role>_start, <role>_stop  its thread; a test calls the step itself instead
//     <role>_destroy
#ifndef SERVICES_ENV_H
#define SERVICES_ENV_H

#include "base/loop.h"
#include "base/pool.h"
#include "callbacks.h"
#include "dtf/v1/node.pb-c.h"
#include "nrpc/nrpc.h"
#include "records/records.h"
#include "state/state.h"
#include "trouble.h"

// A node's Exchange call on its way: first its results through the collector, then its free slots to the
// scheduler, which answers. Lives in the call's memory.
struct exchange {
    struct mail mail; // in the inbox of the role that has it
    struct nrpc_call *call;
    const Dtf__V1__ExchangeRequest *request;
    uint32_t stale;
    uint32_t carried; // free slots that were left to the call that waits
    uint64_t *later;  // tasks whose results could not be taken now; room for one a TaskResults
    size_t later_count;
    const bool *kept; // one of request->holding each: it is the node's (still); NULL: all are
};

// Who sent it.
static inline struct state_holder exchange_holder(const struct exchange *x)
{
    return (struct state_holder){x->request->node_id, x->request->session};
}

static inline void exchange_later(struct exchange *x, uint64_t task)
{
    for (size_t i = 0; i < x->later_count; i++)
        if (x->later[i] == task)
            return;
    x->later[x->later_count++] = task;
}

struct env {
    struct state *state;
    struct records *records;
    struct pool *pool;           // for callbacks
    struct callbacks *callbacks; // those that run
    int64_t (*now_ms)(void);     // for what runs on the pool; roles are given the time
    int64_t node_lease_ms;
    bool no_quarantine;            // a node that fails what others do well gets its share all the same
    struct trouble *trouble;       // with the stores
    struct nrpc_publisher *events; // NULL: none are published
    _Atomic uint64_t *finds;       // what periodic looks found in this process (finds.h)
    // The next station of an exchange; set by who puts the roles together.
    void (*offer)(void *scheduler, struct exchange *x);
    void *scheduler;
};

// Retries of a store that did not answer: how long a role waits.
enum { ENV_STORE_RETRY_MS = 200 };

#endif
