// SPDX-License-Identifier: Apache-2.0
// answer.h: puts an ExchangeResponse together and sends it.
#ifndef SCHEDULER_ANSWER_H
#define SCHEDULER_ANSWER_H

#include "env.h"

struct answer {
    struct arena *arena;
    Dtf__V1__TaskWork **tasks;
    size_t task_count, task_capacity;
};

void answer_init(struct answer *a, struct arena *arena);
void answer_add(struct answer *a, const struct state_work *work,
                size_t count); // its bytes must live until the sending
void answer_send(struct answer *a, struct exchange *x, const uint64_t *cancels,
                 size_t cancel_count); // ends a and x

#endif
