// SPDX-License-Identifier: Apache-2.0
// turn.h: one turn of generating one task: the plugin's callbacks, and the push of what they gave.
//
// A turn runs on the pool, at most one at a time for a task; between turns the struct belongs to the
// generator's loop.
#ifndef GENERATOR_TURN_H
#define GENERATOR_TURN_H

#include "env.h"
#include "plugin/callback.h"

#include <stdatomic.h>

enum turn_end {
    TURN_MORE,     // another turn, soon
    TURN_FULL,     // the queue is full: go on when there is room
    TURN_NONE_NOW, // the plugin has none now, or the store did not answer: go on after wait_ms
    TURN_OVER,     // generation has ended, or is somebody else's
};

struct turn_batch { // generated, not stored yet
    struct arena arena;
    struct state_subtask *subtasks;
    size_t count, capacity;
    struct dtf_buffer checkpoint;
    bool taken; // the checkpoint is
    bool done;  // generation ends with it
};

struct turn {
    const struct env *env;
    const struct dtf_task_type *type; // NULL: unknown here
    uint64_t task, fence;
    struct state_queue queue;
    uint64_t made;        // subtasks that are stored
    struct dtf_task view; // what the plugin sees; in `arena`
    struct arena arena;
    struct state_blob saved; // the checkpoint to begin from
    uint64_t skip;           // subtasks to pass over: stored before, by a generator that saves no status
    void *state;             // the plugin's
    bool begun;
    bool is_done;           // generation has ended: the claim went with it
    _Atomic bool cancelled; // the task is stopping; set by any thread
    _Atomic bool quit;      // the process is
    struct turn_batch batch;
    int64_t wait_ms; // with TURN_NONE_NOW
};

// Copies what it needs of the claim. A param that cannot be read fails the task.
int turn_init(struct turn *t, const struct env *env, const struct state_claim *claim, struct nrpc_status *st);
enum turn_end turn_run(struct turn *t);
void turn_leave(struct turn *t); // the plugin's end, if it has begun; a callback like a turn's
void turn_fini(struct turn *t);  // likewise, and frees what it has

#endif
