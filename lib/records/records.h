// SPDX-License-Identifier: Apache-2.0
// records.h: what must never be lost: the record of every task, its history, its failed subtasks, quota
// groups.
//
// One interface, one contract test (tests/contract/records_contract.c), an implementation per kind of store.
// Every call is one durable transaction, takes a batch where one makes sense, and may be made from any
// thread. What a call returns through arrays is allocated from the caller's arena; such a batch may end early
// when it is large (RECORDS_BATCH_BYTES), but is empty only if there is nothing more. Time is an argument.
#ifndef RECORDS_H
#define RECORDS_H

#include "base/mem.h"
#include "base/status.h"
#include "model/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECORDS_BATCH_BYTES = 2 << 20 };

struct records_blob {
    const void *data;
    size_t bytes;
};

struct records_new_task {
    const char *name, *description, *type, *creator, *group;
    uint64_t creator_uid;
    uint32_t priority;
    const char *idempotency_key; // NULL or empty: none
    int64_t created_ms, deadline_ms;
    struct records_blob param; // a packed dtf.v1.TaskParam
    // out
    uint64_t id;       // ids count from 1 and are never used twice
    bool existed;      // the key was known: id is the first task's, and nothing was recorded
    uint64_t sequence; // of the "running" event; 0 if existed
};

struct records_task {
    uint64_t id;
    enum model_status status;
    const char *name, *description, *type, *creator, *group, *message;
    uint64_t creator_uid;
    uint32_t priority;
    int64_t created_ms, deadline_ms, finished_ms; // finished_ms 0: not yet
    struct model_counters counters;               // final ones; zero before
    struct records_blob param;
};

struct records_change {
    uint64_t task;
    enum model_event event;
    int64_t now_ms;
    const char *message;                   // becomes the task's, if changed; NULL: none
    const struct model_counters *counters; // with a terminal event; NULL otherwise
    // out
    int code;                 // NRPC_OK; NOT_FOUND; FAILED_PRECONDITION: not legal in the task's status
    bool changed;             // the status is another now, an event was recorded
    enum model_status status; // the status now; 0 if NOT_FOUND
    uint64_t sequence;        // of the event, if changed
};

struct records_event {
    uint64_t sequence; // counts from 1 without gaps, over all tasks; a gap: the history of tasks that were
                       // forgotten
    uint64_t task;
    enum model_status status;
    const char *message;
    int64_t time_ms;
};

struct records_failure {
    uint64_t task, seq;
    uint32_t attempt;
    enum model_kind kind;
    int32_t code;
    const char *message;
    struct records_blob body, param;
    int64_t run_us;
};

struct records_group {
    const char *name;
    uint32_t quota;
};

struct records {
    const struct records_ops *ops;
};

struct records_ops {
    void (*close)(struct records *r);

    // Records new tasks, each as running and with its "running" event, in one transaction: what is recorded
    // is guaranteed to run. A key that is known, from before or from earlier in the batch, answers the first
    // task. Text fields may be NULL (read back as empty).
    int (*create)(struct records *r, struct records_new_task *tasks, size_t count, struct nrpc_status *st);
    // Applies events to tasks (model_status_after decides), each change with its history row, in one
    // transaction. A change that is not legal gets its own code; the others are done. The call fails only if
    // the store does.
    int (*change)(struct records *r, struct records_change *changes, size_t count, struct nrpc_status *st);
    // NOT_FOUND.
    int (*get)(struct records *r, uint64_t id, struct arena *a, struct records_task *out,
               struct nrpc_status *st);
    // Newest first, ids below before_id (0: all), of one status (0: any), at most max. Without param.
    int (*list)(struct records *r, enum model_status status, uint64_t before_id, size_t max, struct arena *a,
                struct records_task **out, size_t *count, struct nrpc_status *st);
    // Tasks that are not in a terminal status, ids rising, after `after`.
    int (*unfinished)(struct records *r, uint64_t after, size_t max, struct arena *a,
                      struct records_task **out, size_t *count, struct nrpc_status *st);
    // Events after a sequence number, of one task (0: all); *first_kept: the oldest sequence there still is
    // (next one to be given, if none).
    int (*events)(struct records *r, uint64_t after, uint64_t task, size_t max, struct arena *a,
                  struct records_event **out, size_t *count, uint64_t *first_kept, struct nrpc_status *st);

    // Failed subtasks. Putting one again changes nothing; one of a task that is not there is passed over.
    int (*put_failures)(struct records *r, const struct records_failure *failures, size_t count,
                        struct nrpc_status *st);
    // Of one task, seq rising, after `after_seq`.
    int (*failures)(struct records *r, uint64_t task, uint64_t after_seq, size_t max, struct arena *a,
                    struct records_failure **out, size_t *count, struct nrpc_status *st);

    int (*set_group)(struct records *r, const char *name, uint32_t quota, struct nrpc_status *st);
    int (*groups)(struct records *r, struct arena *a, struct records_group **out, size_t *count,
                  struct nrpc_status *st);

    // Forgets up to max tasks (with history and failures), those that ended first, that ended before
    // finished_before_ms or are not among the last keep_tasks that ended; and history beyond the newest
    // keep_events. *removed: tasks forgotten. An idempotency key is free again when its task is forgotten.
    int (*trim)(struct records *r, int64_t finished_before_ms, uint64_t keep_tasks, uint64_t keep_events,
                size_t max, size_t *removed, struct nrpc_status *st);
};

#endif
