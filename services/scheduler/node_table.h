// SPDX-License-Identifier: Apache-2.0
// node_table.h: the nodes that talk to this scheduler: their parked calls, and what is to be told to them.
// One thread.
#ifndef SCHEDULER_NODE_TABLE_H
#define SCHEDULER_NODE_TABLE_H

#include "base/heap.h"
#include "env.h"
#include "sched/sched.h"

#include <uthash.h>

struct node_room {    // what a call asks for
    uint32_t slots;   // free
    uint32_t ahead;   // subtasks that may wait at the node for a slot,
    int64_t ahead_us; // while they take no more of slot time than this
};

struct node_kind { // nodes that can run the same types
    UT_hash_handle hh;
    char *types; // '\n' + name + '\n' + name ... + '\n'
    size_t nodes;
    uint64_t barren; // as long as this is sched_news, nothing that is ready can run there
};

#define NODE_ANY UINT32_MAX

struct node {
    struct heap_node wait; // in table.waits while a call is parked, by the time it must be answered
    UT_hash_handle hh;
    uint64_t id, session;
    struct node_kind *kind;
    char *name; // for people
    uint32_t slots;
    bool seen;               // since its lease was renewed last
    int64_t heard_ms;        // when; of this process
    int64_t leased_until_ms; // its lease, as far as this process has renewed it
    bool doubted;            // it must say what it holds
    bool fails;              // most of what it brought last has failed, which is quick: it gets nothing ahead
    uint32_t kept_results;   // it has, as it said last
    bool full;               // it holds, or will be given, all that it may: nothing more until it is heard of
    struct exchange *parked; // NULL: none
    struct node_room room;   // of the parked call
    uint32_t most;           // that it may be given now, whatever it asks for; NODE_ANY
    uint32_t hungry_slots;   // its part of table.hungry_slots
    struct node *next_hungry,
        **prev_hungry; // among the nodes whose parked call wants work; prev NULL: not among them
    uint64_t *cancels; // tasks to stop, not told yet
    size_t cancel_count, cancel_capacity;
    struct vet *outbox; // vetted work that waits for a call
    struct node_note {  // what there is to be told of it (sick.c)
        uint32_t usable;
        char *short_of, *quarantine; // NULL: nothing
        bool is_watched;             // it is quarantined until more is known
        bool is_kept;                // in the state, as it is here
        bool said_short, said_apart; // in the log
    } note;
};

struct node_table {
    struct node *all;        // hash by id
    struct node_kind *kinds; // hash by types
    struct heap waits;
    struct node *hungry, **hungry_tail;
    size_t hungry_count;
    uint64_t hungry_slots; // free slots of the hungry
};

void node_table_init(struct node_table *t);
void node_table_fini(struct node_table *t); // no call may be parked
struct node *node_table_add(struct node_table *t, struct state_holder who, const struct state_node *as);
struct node *node_table_find(struct node_table *t, uint64_t id);
void node_table_remove(struct node_table *t, struct node *n); // its call must have been taken out

// What a call asks for, as far as a node of this size may.
struct node_room node_room_of(const struct node *n, const struct exchange *x);
// What of that it may be given now.
struct node_room node_room_now(const struct node *n, struct node_room room);
void node_set_most(struct node_table *t, struct node *n, uint32_t most);

// Parks a call until until_ms; takes the parked call out again.
void node_park(struct node_table *t, struct node *n, struct exchange *x, int64_t until_ms);
struct exchange *node_unpark(struct node_table *t, struct node *n);
void node_set_room(struct node_table *t, struct node *n, struct node_room room); // of the parked call
// More free slots for the parked call, as far as the node can have them; returns how many. None is parked: 0.
uint32_t node_add_slots(struct node_table *t, struct node *n, size_t slots);

void node_add_cancel(struct node *n, uint64_t task);
bool node_can_run(const struct node *n, const char *type);
// Nothing that is ready can run on nodes of this kind; that holds until something becomes ready.
bool node_is_barren(const struct node *n, const struct sched *sched);
void node_note_barren(const struct node *n, const struct sched *sched);

#endif
