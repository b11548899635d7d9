// SPDX-License-Identifier: Apache-2.0
// answer.h: puts an ExchangeResponse together and sends it.
#ifndef SCHEDULER_ANSWER_H
#define SCHEDULER_ANSWER_H

#include "env.h"
#include "sched/sched.h"

struct answer {
    struct arena *arena;
    const struct sched *sched; // knows what subtasks cost
    Dtf__V1__TaskWork **tasks;
    size_t task_count, task_capacity;
    struct budget budget;
    const char *quarantine; // why the node is given hardly any work; NULL: it is not so
};

enum { ANSWER_CANCELS_MAX = 5000 }; // in one answer

void answer_init(struct answer *a, struct arena *arena, const struct sched *sched);
// Adds work, whose bytes must live until the sending; false, adding nothing: it has to wait for the next
// answer. What one lease gave always fits into an answer that has nothing else yet.
bool answer_add(struct answer *a, const struct state_work *work, size_t count);
void answer_send(struct answer *a, struct exchange *x, const uint64_t *cancels,
                 size_t cancel_count); // ends a and x

// Those of a node's refs that are not its own any more (kept: one a ref; NULL: all are its own).
Dtf__V1__SubtaskRef **answer_dropped(struct arena *arena, Dtf__V1__SubtaskRef *const *refs, const bool *kept,
                                     size_t count, size_t *dropped);

#endif
