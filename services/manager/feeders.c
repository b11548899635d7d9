// SPDX-License-Identifier: Apache-2.0
// feeders.c: tasks end with the clients that feed them: when a feeder has been silent for its lease.
//
// The state keeps the leases, since any manager may hear of a feeder; the leading one looks for those that
// have run out. Silence counts only while the feeder could have been heard: after this manager has begun to
// lead, or was stopped, or a store did not answer, or the clock has jumped, each lease begins anew.
#include "base/log.h"
#include "manager_internal.h"

#include <stdio.h>

enum {
    LOOK_MS = 1000,
    LATE_MS = 2000, // less than what the shortest lease leaves for
    PAGE = 1000,
};

void feeders_begin(struct manager *m, uint64_t task, const Dtf__V1__TaskParam *p, int64_t now_ms)
{
    struct nrpc_status st;
    if (!p->fed || !p->feeder_lease_ms)
        return;
    if (m->env->state->ops->feeder(m->env->state, task, p->feeder_lease_ms, now_ms, &st) == NRPC_UNAVAILABLE)
        feeders_excuse(m, now_ms); // said again by repair, and by the first Feed
}

void feeders_heard(struct manager *m, uint64_t task, int64_t now_ms)
{
    struct nrpc_status st;
    if (m->env->state->ops->feeder(m->env->state, task, 0, now_ms, &st) == NRPC_UNAVAILABLE)
        feeders_excuse(m, now_ms);
}

void feeders_excuse(struct manager *m, int64_t now_ms)
{
    m->feeders_since_ms = now_ms;
}

static int end_one(struct manager *m, const struct state_feeder *f, int64_t now_ms, struct nrpc_status *st)
{
    char why[100];
    if (m->feeders_since_ms + f->lease_ms > now_ms) // it could not be heard of for so long
        return m->env->state->ops->feeder(m->env->state, f->task, 0, m->feeders_since_ms, st);
    snprintf(why, sizeof why, "its feeder has not been heard of for %.3g s", (double)f->lease_ms / 1000);
    log_info("task %llu is cancelled: %s", (unsigned long long)f->task, why);
    return requests_stop(m, f->task, why, now_ms, st);
}

void feeders_tick(struct manager *m, int64_t now_ms)
{
    struct state_feeder *feeders;
    struct nrpc_status st;
    size_t count = 0;
    if (now_ms > m->next_feeders_ms + LATE_MS) // what feeders said may still be on its way
        feeders_excuse(m, now_ms);
    m->next_feeders_ms = now_ms + LOOK_MS;
    int code =
        m->env->state->ops->feeders_overdue(m->env->state, now_ms, PAGE, &m->arena, &feeders, &count, &st);
    for (size_t i = 0; code == NRPC_OK && i < count; i++) {
        code = end_one(m, &feeders[i], now_ms, &st);
        code = code == NRPC_UNAVAILABLE ? code : NRPC_OK; // that one has ended, or just does
    }
    if (!code)
        return;
    trouble_say(m->env->trouble, &st, "manager: cannot look after feeders");
    feeders_excuse(m, now_ms);
}
