// SPDX-License-Identifier: Apache-2.0
// loop.h: the one shape of a role: a step function that does everything that waits, and an inbox.
//
// A loop's owner has a step(self, now_ms): it takes all mail, does what is due, and returns when it must run
// next (CLOCK_NEVER: not before mail comes). loop_start gives it a thread; a test calls step itself, with
// times of its own. Only the step touches the owner's data; everybody else posts mail. loop_post and
// loop_wake may be called from any thread.
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mail { // first member of the caller's own messages
    struct mail *next;
    int kind; // an enum of the owner
};

struct loop {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    pthread_t thread;
    struct mail *head, **tail;
    bool woken, stopping, running;
    const char *name;
    int64_t (*step)(void *self, int64_t now_ms);
    void *self;
};

void loop_init(struct loop *l, const char *name, int64_t (*step)(void *self, int64_t now_ms), void *self);
void loop_start(struct loop *l); // without a thread for it the process ends, as without memory
void loop_stop(struct loop *l);  // waits for the running step; none follows. Fine if not started
void loop_fini(struct loop *l);  // the inbox must be empty

void loop_post(struct loop *l, struct mail *m);
void loop_wake(struct loop *l);
struct mail *loop_take(struct loop *l); // all mail, oldest first; NULL if there is none

// For whoever calls the step itself: whether mail or a wake-up came since this was asked last.
bool loop_was_woken(struct loop *l);

#endif
