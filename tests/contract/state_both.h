// SPDX-License-Identifier: Apache-2.0
// state_both.h: stores that are to answer the same, and random operations on them.
//
// An operation rolls its arguments from the same dice for every store and prints what it was answered.
// Fences, positions of results and ids of nodes are each store's own and are not printed; of what comes as a
// set the order does not matter.
#ifndef STATE_BOTH_H
#define STATE_BOTH_H

#include "base/clock.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STORES = 3, SLOTS = 7, NODES = 4, HELD = 4000, MOST = 40, ALL = 1000000, LARGE = 10000 };

typedef uint64_t dice;

struct store {
    const char *name;
    struct state *s;
    const struct state_ops *ops;
    struct arena arena; // of one operation
    struct nrpc_status st;
    uint64_t nodes[NODES], fences[SLOTS], cursors[SLOTS];
    FILE *out; // what it answered
    char *text;
    size_t size;
};

struct walk { // what all stores agree on
    struct store stores[STORES];
    int64_t now_ms;
    uint64_t next_id, ids[SLOTS]; // 0: none
    uint64_t leased[SLOTS];       // the highest subtask that was ever leased
    struct state_ref held[HELD];  // leases, also such as have ended
    size_t held_count;
};

uint64_t roll(dice *d, uint64_t sides);
// Only the store that comes last writes down what all of them answered.
bool is_last(const struct walk *w, const struct store *s);

void both_say(struct store *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool succeeds(struct store *s, int code); // prints the code
void say_blob(struct store *s, struct state_blob b);
void say_result(struct store *s, const struct state_result *r);
long begin_set(struct store *s);             // lines from here on
void sort_from(struct store *s, long start); // come in any order

const char *any_word(dice *d);
struct state_subtask *any_subtasks(struct store *s, dice *d, uint64_t first, size_t count);
struct state_progress progress_of(struct walk *w, struct store *s, size_t slot);
size_t slot_of(const struct walk *w, uint64_t task);

// ---- operations

typedef void both_operation(struct walk *w, struct store *s, dice *d);
both_operation both_admit, both_pause, both_stop, both_close, both_remove, both_take, both_look_for,
    both_lead, both_claim, both_renew_claims, both_push, both_feed, both_lease, both_requeue, both_sweep,
    both_settle, both_peek, both_read, both_node_add, both_node_renew, both_node_note, both_node_leave,
    both_time;

#endif
