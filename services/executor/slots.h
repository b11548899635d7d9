// SPDX-License-Identifier: Apache-2.0
// slots.h: the threads that run execute callbacks, what waits for them, and what came out.
//
// A subtask is an item all its life on a node: queued, running, done. One mutex guards the lists; callbacks
// run without it.
#ifndef EXECUTOR_SLOTS_H
#define EXECUTOR_SLOTS_H

#include "dtf.h"
#include "plugin/callback.h"

#include <pthread.h>

struct item {
    struct item *next;
    uint64_t task, seq;
    uint32_t attempt, timeout_ms;
    int64_t cost_us;                  // what it takes, as far as others of its task have told; 0: not known
    const struct dtf_task_type *type; // NULL: unknown here
    // the outcome, once done
    enum dtf_result_kind kind;
    int32_t code;
    char *message, *body;
    size_t body_bytes;
    int64_t run_us;
    int64_t queued_ms;     // since when it has waited for a slot
    int64_t held_until_ms; // killed: not handed in before
    size_t param_bytes;
    unsigned char param[];
};

// Takes what it is to do from `like`: task, seq, attempt, timeout_ms, cost_us, param_bytes.
struct item *item_create(const struct item *like, const char *type, const void *param);
void item_destroy(struct item *i);
size_t item_bytes(const struct item *i); // of what travels of it as a result

struct item_list {
    struct item *first, **last;
    size_t count, bytes;
    int64_t cost_us; // of all; of each whose cost is not known, as much as may wait for a slot
};
void item_list_init(struct item_list *l);
void item_list_add(struct item_list *l, struct item *i);
void item_list_append(struct item_list *l, struct item_list *more); // empties more
struct item *item_list_pop(struct item_list *l);                    // NULL: empty

// How long the result of what was killed is kept back. Who stops a node may signal all its processes, in any
// order: what dies of that is not the subtask's failure, and is handed back when the node is told to stop,
// too.
enum { SLOTS_KILLED_HOLD_MS = 1000 };

struct slots;

// on_done runs, without locks, after an item was added to the done list.
struct slots *slots_create(unsigned count, int64_t (*now_ms)(void), void (*on_done)(void *user), void *user);
void slots_start(struct slots *s);
bool slots_run_one(
    struct slots *s); // instead of slots_start: runs a queued item in this thread; false: none is queued
void slots_destroy(struct slots *s); // queued items are dropped; waits for running callbacks

void slots_queue(struct slots *s, struct item_list *items, int64_t now_ms); // takes them
// Takes results, up to max_bytes of them (at least one if there is any).
void slots_take_done(struct slots *s, size_t max_bytes, struct item_list *out);
void slots_put_back_done(struct slots *s, struct item_list *items); // results that could not be handed in
// Results that the coordinator could not take now are kept aside, until slots_retry_later.
void slots_put_later(struct slots *s, struct item_list *items);
void slots_retry_later(struct slots *s);
void slots_take_killed(struct slots *s, struct item_list *out); // what was killed just now
void slots_take_queued(struct slots *s, struct item_list *out); // what has not begun
void slots_take_unrun(struct slots *s,
                      struct item_list *out); // what could not begin: the node is short of something
// What has waited for a slot since since_ms or longer.
void slots_take_waiting(struct slots *s, int64_t since_ms, struct item_list *out);

enum { SLOTS_SHORT_OF_MAX = DTF_NODE_NOTE_MAX }; // bytes

// How many slots are used, and of what the node is short, in a sentence of UTF-8; of nothing: all, and "".
unsigned slots_shortage(struct slots *s, char short_of[SLOTS_SHORT_OF_MAX + 1]);

struct slots_load {
    size_t queued, running, done, later, unrun, held_bytes;
    unsigned usable;        // slots: fewer than there are while the node is short of something
    int64_t waits_since_ms; // the first of what is queued; CLOCK_NEVER: nothing is
};
void slots_load(struct slots *s, struct slots_load *out);
int64_t slots_ahead_us(struct slots *s); // how much more of slot time may wait for the slots

// Stops what there is of a task: queued items are done at once, as cancelled; running callbacks are told.
void slots_cancel_task(struct slots *s, uint64_t task, int64_t now_ms);
// Stops everything and forgets it: no results come of it. keep_done: those that are there stay.
void slots_abandon(struct slots *s, bool keep_done);
// Stops one subtask and forgets it: no result comes of it. One that is not here is passed over.
void slots_forget(struct slots *s, uint64_t task, uint64_t seq, uint32_t attempt);
// Tells what has run too long to stop; what does so within 5 s makes its own result, with what it has; of
// others the result is made here, and theirs is dropped. Returns when to look again.
int64_t slots_expire(struct slots *s, int64_t now_ms);

// Calls `each` for everything held: queued, running, done.
void slots_each(struct slots *s, void (*each)(void *user, uint64_t task, uint64_t seq, uint32_t attempt),
                void *user);

#endif
