// SPDX-License-Identifier: Apache-2.0
// crash.h: a callback of a plugin that ends the process (a fatal signal, an overflow of its stack, exit) is
// recorded in the state, as its task's doing, before the process goes. After MODEL_BLAMES_MAX times, in
// whatever processes, the task ends as failed: one task does not take all coordinators with it again and
// again.
//
// Nothing is asked of the state while callbacks end well. What cannot be noticed is SIGKILL (also the
// kernel's, for want of memory), and a heap so damaged that nothing works any more: after some seconds the
// process goes without a record. _exit is noticed in dtfd (exits.c), not in a program that links the library.
#ifndef SERVICES_CRASH_H
#define SERVICES_CRASH_H

#include "state/state.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>

struct callback_run;

struct crash { // one a coordinator
    struct state *state;
    pid_t pid;        // what a callback has forked may end
    pthread_t thread; // records; the one that ends the process waits for it
    sem_t wake;
    _Atomic(const struct callback_run *) run; // the first that ends the process
    _Atomic int signal_number;                // 0: exit
    atomic_bool stop, recorded;
};

void crash_start(struct crash *c, struct state *state);
void crash_stop(struct crash *c); // no callback runs any more

// Around each callback, on the thread that runs it. c NULL: nothing is recorded.
void crash_enter(struct crash *c, const struct callback_run *run);
void crash_leave(void);

void crash_exits(void); // this thread ends the process now, and no handler will be called

#endif
