// SPDX-License-Identifier: Apache-2.0
// executor.h: the role that runs subtasks: an executor node. Talks to a coordinator over a channel, shares
// nothing with it.
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include "nrpc/nrpc.h"

#include <stdbool.h>
#include <stdint.h>

struct executor_options {
    unsigned slots;
    const char *name;
    int64_t grace_ms; // for running subtasks when it stops
    bool is_local;    // its coordinator is in this process, and logs what it is short of
    int64_t (*now_ms)(void);
};

struct executor;

// The channel stays the caller's and must outlive the executor.
struct executor *executor_create(struct nrpc_channel *channel, const struct executor_options *options);
int64_t executor_step(void *self, int64_t now_ms);
struct loop *executor_loop(struct executor *e);
// For a test that drives everything in one thread: runs a queued subtask here. false: none is queued.
bool executor_run_one(struct executor *e);
// OK unless it is short of something, and uses fewer slots than it has. Any thread.
int executor_check(struct executor *e, struct nrpc_status *st);
void executor_start(struct executor *e);
// Begins to drain: takes nothing new, hands back what has not begun. `at_once`: running subtasks get no more
// time.
void executor_drain(struct executor *e, bool at_once);
void executor_join(
    struct executor *e); // waits until it has left its coordinator, or given up trying; then stops
void executor_stop(struct executor *e); // at once
void executor_destroy(struct executor *e);

#endif
