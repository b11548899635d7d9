// SPDX-License-Identifier: Apache-2.0
// records.h: what must never be lost: the record of every task, its history, its failed subtasks, where it
// resumes, quota groups.
//
// One interface, one contract test (tests/contract/records_contract.c), an implementation per kind of store.
// Every call is one durable transaction, takes a batch where one makes sense, may block, and may be made from
// any thread. What a call returns through arrays is allocated from the caller's arena; such a batch may end
// early when it is large (RECORDS_BATCH_BYTES), but is empty only if there is nothing more. Time is an
// argument.
//
// A text or blob over its limit below, or a text that is not valid UTF-8, is INVALID_ARGUMENT, the sentence
// names the field, and nothing of the call was done. Messages are kept in any case: what is not UTF-8 in them
// (they may have been cut within a character) becomes '?'. UNAVAILABLE: the store cannot be reached or
// written to at present; what the call was to do was not done, except that a lost connection may hide a
// commit: every call but a create without an idempotency key can then be made again as it was.
#ifndef RECORDS_H
#define RECORDS_H

#include "base/budget.h"
#include "base/mem.h"
#include "base/status.h"
#include "model/task.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECORDS_BATCH_BYTES = BUDGET_BATCH_BYTES,
    RECORDS_NAME_MAX = 100, // bytes in names, types, creators, groups, idempotency keys, names of ids
    RECORDS_DESCRIPTION_MAX = 255,
    RECORDS_MESSAGE_MAX = 64 << 10,
    RECORDS_BLOB_MAX = 4 << 20, // bytes in a blob; of a failure, body and param together
};

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
    const char *idempotency_key; // NULL: none
    bool stop_asked;             // its end was asked for (ask_stop)
    const char *stop_message;    // why; NULL: nothing was said
};

struct records_change {
    uint64_t task;
    enum model_event event;
    int64_t now_ms;
    int64_t born_ms;                       // when the task that is meant was created; 0: whichever has the id
    const char *message;                   // becomes the task's, if changed; NULL: none
    const struct model_counters *counters; // with a terminal event; NULL otherwise
    bool with_failures;                    // as many as counters tell of are recorded, or it does not end
    // out
    int code;                 // NRPC_OK; NOT_FOUND; FAILED_PRECONDITION: not legal in the task's status, or
                              // another task has the id; ABORTED: its failures are not those recorded
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

// Where a task resumes when the state store has lost it: everything up to subtask `made` is settled, as
// `counters` say, and the generator goes on from `checkpoint`.
struct records_resume {
    uint64_t task;
    struct records_blob checkpoint;
    bool has_checkpoint;
    uint64_t made; // subtasks generated or fed up to here
    struct model_counters counters;
    int progress_percent; // -1: unknown
    bool found;           // out, of resumes; false: all else but task is zero
};

struct records_fed {    // subtasks that a client has fed, in the caller's packing
    uint64_t at, count; // subtasks at..at+count-1 of the task; count 0: none, only `finish`
    bool finish;        // no more will be fed
    struct records_blob packed;
};

struct records_brief {        // of a task
    enum model_status status; // 0: there is no such task
    int64_t created_ms;
};

struct records_import { // a task from another store, as it was there
    struct records_task task;
    const struct records_event *events; // in order; their `task` and `sequence` are not looked at
    size_t event_count;
    const struct records_failure *failures; // their `task` is not looked at
    size_t failure_count;
    int code; // out: OK; ALREADY_EXISTS: this very task is here (not touched, it may have moved on since);
              // FAILED_PRECONDITION: another task has its id or its idempotency key
};

struct records {
    const struct records_ops *ops;
    _Atomic uint64_t task_given; // the highest number of a task that this process knows to have been given
};

// Any thread.
static inline void records_know_task(struct records *r, uint64_t id)
{
    uint64_t known = atomic_load(&r->task_given);
    while (known < id && !atomic_compare_exchange_weak(&r->task_given, &known, id))
        ;
}

struct records_tenure {
    uint64_t state;   // its number, not 0
    uint64_t former;  // the number that it had when the caller asked last; 0: that has not asked yet
    const char *who;  // where it is and who asks, for others to read
    int64_t lease_ms; // how long others stay away after it was heard of; by the records' clock
    bool is_taken;    // out: another state has had them before
};

struct records_ops {
    void (*close)(struct records *r);

    // Records new tasks, each as running and with its "running" event, in one transaction: what is recorded
    // is guaranteed to run. A key that is known, from before or from earlier in the batch, answers the first
    // task. Text fields may be NULL (read back as empty). DATA_LOSS, and nothing is done: a number would be
    // given again, as these records have gone back in time; `marks` says up to which.
    int (*create)(struct records *r, struct records_new_task *tasks, size_t count, struct nrpc_status *st);
    // Applies events to tasks (model_status_after decides), each change with its history row, in one
    // transaction. A change that is not legal gets its own code; the others are done. The call fails only if
    // the store does. With its end a task's resume point and fed subtasks are gone.
    int (*change)(struct records *r, struct records_change *changes, size_t count, struct nrpc_status *st);
    // NOT_FOUND.
    int (*get)(struct records *r, uint64_t id, struct arena *a, struct records_task *out,
               struct nrpc_status *st);
    // What is known of these tasks, in this order.
    int (*briefs)(struct records *r, const uint64_t *ids, size_t count, struct records_brief *out,
                  struct nrpc_status *st);
    // Newest first, ids below before_id (0: all), of one status (0: any), at most max. Without param.
    // What `import` takes is read by list, get, events and failures.
    int (*list)(struct records *r, enum model_status status, uint64_t before_id, size_t max, struct arena *a,
                struct records_task **out, size_t *count, struct nrpc_status *st);
    // Tasks that are not in a terminal status, ids rising, after `after`.
    int (*unfinished)(struct records *r, uint64_t after, size_t max, struct arena *a,
                      struct records_task **out, size_t *count, struct nrpc_status *st);
    // Events after a sequence number, of one task (0: all); *first_kept: the oldest sequence there still is
    // (next one to be given, if none).
    int (*events)(struct records *r, uint64_t after, uint64_t task, size_t max, struct arena *a,
                  struct records_event **out, size_t *count, uint64_t *first_kept, struct nrpc_status *st);

    // Failed subtasks, as those that the task's next point will count. Putting one again changes nothing; one
    // of a task that is not there, or, unless they are imported, has ended, is passed over.
    int (*put_failures)(struct records *r, const struct records_failure *failures, size_t count,
                        bool imported, struct nrpc_status *st);
    // Of one task, seq rising, after `after_seq`.
    int (*failures)(struct records *r, uint64_t task, uint64_t after_seq, size_t max, struct arena *a,
                    struct records_failure **out, size_t *count, struct nrpc_status *st);

    // Forgets those of an unfinished task that its newest point does not count: what failed is made and run
    // again. NOT_FOUND; FAILED_PRECONDITION: it has ended.
    int (*drop_failures)(struct records *r, uint64_t task, struct nrpc_status *st);

    int (*set_group)(struct records *r, const char *name, uint32_t quota, struct nrpc_status *st);
    int (*groups)(struct records *r, struct arena *a, struct records_group **out, size_t *count,
                  struct nrpc_status *st);

    // Forgets up to max tasks (with all that is kept of them), those that ended first, that ended before
    // finished_before_ms or are not among the last keep_tasks that ended; and history beyond the newest
    // keep_events. *removed: tasks forgotten. An idempotency key is free again when its task is forgotten.
    int (*trim)(struct records *r, int64_t finished_before_ms, uint64_t keep_tasks, uint64_t keep_events,
                size_t max, size_t *removed, struct nrpc_status *st);

    // A block of `count` numbers, *first and up, that were never given before under that name (they count
    // from 1; there may be gaps). INVALID_ARGUMENT: an empty name, one that begins with "tbl_" (the store's
    // own), or over 2^32 numbers at once.
    int (*next_ids)(struct records *r, const char *name, uint64_t count, uint64_t *first,
                    struct nrpc_status *st);
    // Raises the highest numbers that were given to at least these, and tells what they were. They were
    // smaller only if these records have gone back in time.
    int (*marks)(struct records *r, const struct model_marks *least, struct model_marks *were,
                 struct nrpc_status *st);
    // Which installation's records these are: a random number, not 0, drawn when it is asked for the first
    // time.
    int (*installation)(struct records *r, uint64_t *id, struct nrpc_status *st);
    // These records' tasks are run with one state at a time: takes them for `t->state`, or has them still,
    // for another lease. FAILED_PRECONDITION: another state has them; the sentence says which, and since when
    // nothing was heard of it.
    int (*tenure)(struct records *r, struct records_tenure *t, struct nrpc_status *st);
    // The date by the store's own clock.
    int (*clock)(struct records *r, int64_t *now_ms, struct nrpc_status *st);
    // NRPC_OK if the store answers and can be written to at present; the sentence says how, where there is
    // something to say: which of its hosts is used, and why not the others.
    int (*check)(struct records *r, struct nrpc_status *st);

    // Records that the end of an unfinished task was asked for. Asking again changes nothing: the first
    // message (NULL: none) and time stay. NOT_FOUND; FAILED_PRECONDITION: it has ended.
    int (*ask_stop)(struct records *r, uint64_t task, const char *message, int64_t now_ms,
                    struct nrpc_status *st);

    // Keeps resume points, one a task. Passed over: a point older than the one there is (smaller `made`, or
    // the same and fewer settled subtasks), and one of a task that is not there or has ended. Fed subtasks
    // that lie wholly below `made` are deleted, except one that says `finish`.
    int (*save_resumes)(struct records *r, const struct records_resume *points, size_t count,
                        struct nrpc_status *st);
    // The points of these tasks, in this order, into out[count]. RESOURCE_EXHAUSTED: they do not fit in the
    // arena; ask for fewer.
    int (*resumes)(struct records *r, const uint64_t *tasks, size_t count, struct arena *a,
                   struct records_resume *out, struct nrpc_status *st);

    // Keeps subtasks that were fed. The same (task, at, count) again changes nothing but that `finish` is
    // kept once it was said. NOT_FOUND: there is no such task, or it has ended.
    int (*put_fed)(struct records *r, uint64_t task, uint64_t at, uint64_t count, bool finish,
                   struct records_blob packed, struct nrpc_status *st);
    // What was fed to a task and does not lie wholly below after_at, `at` rising. A row that says `finish`
    // comes in any case: it is the last one to read, and what of it lies below after_at is to be skipped.
    int (*fed)(struct records *r, uint64_t task, uint64_t after_at, size_t max, struct arena *a,
               struct records_fed **out, size_t *count, struct nrpc_status *st);

    // Puts tasks as they are, each by its own code, in one transaction. Their events get new sequence
    // numbers, at the end of the history here; ids given from now on are above theirs. INVALID_ARGUMENT: an
    // id that is 0 or over MODEL_IMPORTED_ID_MAX, or no status.
    int (*import)(struct records *r, struct records_import *tasks, size_t count, struct nrpc_status *st);
};

#endif
