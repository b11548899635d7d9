// SPDX-License-Identifier: Apache-2.0
// review.h: results of one task whose type has a collector callback: the callback, then the settling. Runs on
// the task's strand.
#ifndef COLLECTOR_REVIEW_H
#define COLLECTOR_REVIEW_H

#include "env.h"
#include "plugin/registry.h"

struct batch;

struct review {
    struct pool_job job; // first member
    struct mail mail;    // posted to `loop` when it is over
    const struct env *env;
    struct loop *loop;
    const struct dtf_task_type *type;
    struct batch *batch;          // whose results these are
    struct state_settle *entries; // the batch's memory
    size_t count;
    uint32_t stale;
    struct nrpc_status st; // not OK: not all was settled
};

void review_run(struct pool_job *job);

// The closing callback of a task, then its closing in the state.
struct closing {
    struct pool_job job; // first member
    struct mail mail;
    const struct env *env;
    struct loop *loop;
    uint64_t task;
    bool retry; // the store did not answer
    // The collector's:
    struct closing *next;
    bool waits; // to be tried again
};

void closing_run(struct pool_job *job);

#endif
