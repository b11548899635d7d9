// SPDX-License-Identifier: Apache-2.0
// node_table.h: the nodes that talk to this scheduler: their parked calls, and what is to be told to them.
// One thread.
#ifndef SCHEDULER_NODE_TABLE_H
#define SCHEDULER_NODE_TABLE_H

#include "base/heap.h"
#include "env.h"

#include <uthash.h>

struct node {
    struct heap_node wait; // in table.waits while a call is parked, by the time it must be answered
    UT_hash_handle hh;
    uint64_t id, session;
    char *types; // '\n' + name + '\n' + name ... + '\n'
    uint32_t slots;
    bool seen;               // since its lease was renewed last
    bool doubted;            // it must say what it holds
    struct exchange *parked; // NULL: none
    uint32_t want;           // of the parked call
    struct node *next_hungry,
        **prev_hungry; // among the nodes whose parked call wants work; prev NULL: not among them
    uint64_t *cancels; // tasks to stop, not told yet
    size_t cancel_count, cancel_capacity;
    struct vet *outbox; // vetted work that waits for a call
};

struct node_table {
    struct node *all; // hash by id
    struct heap waits;
    struct node *hungry, **hungry_tail;
    size_t hungry_count;
};

void node_table_init(struct node_table *t);
void node_table_fini(struct node_table *t); // no call may be parked
struct node *node_table_add(struct node_table *t, struct state_holder who, const char *types, uint32_t slots);
struct node *node_table_find(struct node_table *t, uint64_t id);
void node_table_remove(struct node_table *t, struct node *n); // its call must have been taken out

// Parks a call that wants `want` subtasks until until_ms; takes the parked call out again.
void node_park(struct node_table *t, struct node *n, struct exchange *x, int64_t until_ms);
struct exchange *node_unpark(struct node_table *t, struct node *n);
void node_set_want(struct node_table *t, struct node *n, uint32_t want); // of the parked call

void node_add_cancel(struct node *n, uint64_t task);
bool node_can_run(const struct node *n, const char *type);

#endif
