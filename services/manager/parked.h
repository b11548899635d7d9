// SPDX-License-Identifier: Apache-2.0
// parked.h: calls that wait for something to happen to a task. One thread.
#ifndef MANAGER_PARKED_H
#define MANAGER_PARKED_H

#include "base/heap.h"
#include "env.h"

struct manager;
struct request;

// Does a request: answers it, or parks it. last: its time is up, it must be answered.
typedef void (*request_fn)(struct manager *m, struct request *r, int64_t now_ms, bool last);

struct request {           // a call in the manager's hands; in the call's memory
    struct heap_node wait; // while parked: by the time it must be answered
    struct mail mail;
    struct nrpc_call *call;
    const void *message;
    request_fn run;
    int64_t until_ms; // of its waiting; set when it is parked first
    uint64_t task;    // parked under it; 0: under none in particular
    unsigned signals; // that it waits for
    struct request *next, **prev;
};

enum parked_signal {    // what a parked request waits for
    PARKED_END = 1,     // of the task
    PARKED_ROOM = 2,    // in its queue
    PARKED_RESULTS = 4, // to be read
    PARKED_EVENT = 8,   // of the task, or of any: parked under 0
};

struct parked_task;
struct parked {
    struct parked_task *tasks; // hash by task
    struct heap waits;
    size_t event_readers; // that wait for an event
};

void parked_add(struct parked *p, struct request *r, uint64_t task, unsigned signals);
// Takes out those of the task that wait for any of the signals: a list by next, in the order of parking.
struct request *parked_take(struct parked *p, uint64_t task, unsigned signals);
struct request *parked_take_all(struct parked *p); // likewise, everything
// Takes out one whose time is up; NULL: none, and *next_ms is when the next will be.
struct request *parked_overdue(struct parked *p, int64_t now_ms, int64_t *next_ms);
struct request *parked_any(struct parked *p); // takes out any; NULL: there is none
// Takes out those whose callers do not wait any more: a list by next.
struct request *parked_take_left(struct parked *p);
void parked_fini(struct parked *p); // must be empty

#endif
