// SPDX-License-Identifier: Apache-2.0
// review.h: results of one task, from one node, whose type has a collector callback: the callback, then the
// settling. Runs on the task's strand.
#ifndef COLLECTOR_REVIEW_H
#define COLLECTOR_REVIEW_H

#include "env.h"
#include "plugin/registry.h"

#include <uthash.h>

struct batch;

struct review_key {
    uint64_t task, node;
};

struct review {
    struct pool_job job; // first member
    struct mail mail;    // posted to `loop` when it is over
    UT_hash_handle hh;   // among the collector's, by key
    struct review_key key;
    const struct env *env;
    struct loop *loop;
    const struct dtf_task_type *type;
    struct batch *batch; // whose results these are; NULL: its call was answered meanwhile
    struct review *next; // among its batch's
    int64_t since_ms;    // when it came
    struct arena arena;  // texts and bodies of the entries
    struct state_settle *entries;
    size_t count, capacity;
    uint32_t stale;
    struct nrpc_status st; // not OK: not all was settled
};

struct review *review_create(const struct env *env, struct loop *loop, int mail_kind,
                             const struct dtf_task_type *type, struct review_key key);
void review_add(struct review *r, const struct state_settle *entry); // copies it; before it runs
void review_destroy(struct review *r);
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
