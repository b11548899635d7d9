// SPDX-License-Identifier: Apache-2.0
// callbacks.h: which of the plugins' callbacks run in this process, of which task and since when: one that
// does not return is said to be stuck, in the log, in the health service and where the task is shown.
#ifndef SERVICES_CALLBACKS_H
#define SERVICES_CALLBACKS_H

#include "base/status.h"
#include "crash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CALLBACKS_STUCK_MS = 30000 };
#define CALLBACK_CLOSING "after_task_completed"

struct callback_run { // the caller's, from begin to end
    struct callback_run *next, **prev;
    uint64_t task;
    const char *name;
    int64_t since_us; // on the monotonic clock
    bool said;
};

struct callbacks {
    _Atomic bool quit;   // the process stops: nothing more is begun that can be left to others
    struct crash *crash; // where it is recorded that one ends the process; NULL: nowhere
    pthread_mutex_t mu;
    struct callback_run *runs, **last; // the oldest first
};

void callbacks_init(struct callbacks *c);
void callbacks_fini(struct callbacks *c); // none may run
void callbacks_begin(struct callbacks *c, struct callback_run *r, uint64_t task, const char *name);
void callbacks_end(struct callbacks *c, struct callback_run *r);

// For how long a callback of the task has been running, at the least CALLBACKS_STUCK_MS; 0: none is stuck.
// text, unless NULL: "its <callback> has not returned for <seconds> s".
int64_t callbacks_stuck_ms(struct callbacks *c, uint64_t task, char *text, size_t size);
// Logs each stuck one once. UNAVAILABLE, with a text, if there is one.
int callbacks_check(struct callbacks *c, struct nrpc_status *st);
// The one that has been running the longest, stuck or not; false: none runs.
bool callbacks_oldest(struct callbacks *c, char *text, size_t size);

#endif
