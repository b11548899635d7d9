// SPDX-License-Identifier: Apache-2.0
// draft.h: what a node says of its subtasks, as protobuf messages in an arena.
#ifndef EXECUTOR_DRAFT_H
#define EXECUTOR_DRAFT_H

#include "base/mem.h"
#include "dtf/v1/node.pb-c.h"
#include "slots.h"

// A request and what it is made of, in an arena.
struct draft {
    struct arena arena;
    Dtf__V1__ExchangeRequest request;
    Dtf__V1__SubtaskRef **refs;
    size_t ref_count, ref_capacity;
};

// Groups results by task where they lie next to each other. The items must live until the request is sent.
void draft_results(struct draft *d, const struct item_list *results);
// Adds a subtask; user is the draft (as slots_each calls it).
void draft_ref(void *user, uint64_t task, uint64_t seq, uint32_t attempt);
// Those added since the last time, in the draft's arena.
Dtf__V1__SubtaskRef **draft_take_refs(struct draft *d, size_t *count);

#endif
