// SPDX-License-Identifier: Apache-2.0
// vet.h: asks a type's scheduler callback which of the leased subtasks may go now. Runs on the task's strand.
#ifndef SCHEDULER_VET_H
#define SCHEDULER_VET_H

#include "env.h"
#include "plugin/registry.h"

struct vet {
    struct pool_job job; // first member
    struct mail mail;    // posted to `loop` when it is over
    struct vet *next;    // in a node's outbox
    const struct env *env;
    struct loop *loop;
    const struct dtf_task_type *type;
    uint64_t node, task;
    struct state_work *work; // of one task; after the vetting only what may go
    size_t count, declined;
};

// Copies the work. The declined is put back in the queue, to be asked about again later.
struct vet *vet_create(const struct env *env, struct loop *loop, int mail_kind,
                       const struct dtf_task_type *type, uint64_t node, const struct state_work *work,
                       size_t count);
void vet_destroy(struct vet *v);

#endif
