// SPDX-License-Identifier: Apache-2.0
// state.h: what is going on now: tasks that have not ended, their queued and running subtasks, kept results,
// nodes.
//
// One interface, one contract test (tests/contract/state_contract.c), an implementation per kind of store.
// Every call is atomic for each task, checks everything before it writes, takes a batch where one makes
// sense, and may be made from any thread. What a call returns through arrays is allocated from the caller's
// arena. Time is an argument.
//
// A call that has returned survives the process. An outage of the machine may take the last ones with it, but
// for `stop`, and what was done before a `sync`.
//
// A call that answers UNAVAILABLE may have been carried out, wholly, not at all, or for some of its tasks:
// the answer was lost. Every call can be repeated without harm; what a lease or a claim gave whose answer was
// lost comes back when the node is asked what it holds (node_reconcile), or when the claim runs out.
//
// After a call has committed, the store tells its watcher what changed (state_hint), and the watchers of
// other processes over the same store. A hint may be lost, repeated or come late; the truth is read back by a
// call.
//
// A store may go back in time (a replica takes over that lagged, a power failure, an old copy is put in its
// place), while all that it told of what it then forgets goes on. Each time that may have happened (the
// server or the process that has the store started, or it was wiped), the store **begins anew**: numbers of
// nodes from before are void (the nodes register again and say what they have: what the store knows of that
// stays theirs), STATE_HINT_RESYNC is told, and a store that is `disposable` leases nothing until it was
// compared with the records (`verified`).
//
// Each call checks what it reads. Of a task of which something is missing, is no number or does not fit, it
// takes all out, as if the store had lost it, and tells STATE_HINT_DAMAGED; it answers as if the task had not
// been there, NOT_FOUND where it is about that task alone, and goes on with all others. A node that is
// damaged must register again. A reply that makes no sense otherwise is DATA_LOSS, and the text names what it
// is.
//
// A subtask is named by its task and a number that counts from 1 within the task in the order of generation.
// It is either queued (never dispatched: "fresh"; or waiting to be dispatched again: "retry"), or leased to a
// node under an attempt number, or settled and gone. drained = generation done, nothing queued, nothing
// leased.
#ifndef STATE_H
#define STATE_H

#include "base/budget.h"
#include "base/mem.h"
#include "base/status.h"
#include "model/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STATE_QUEUE_HIGH = 20000, // fresh subtasks at which a task's generation is to pause (feed refuses beyond)
    STATE_QUEUE_LOW = STATE_QUEUE_HIGH / 2, // at which it goes on
    STATE_QUEUE_BYTES_HIGH = 64 << 20,      // of their large params, at which it is to pause likewise
    STATE_QUEUE_BYTES_LOW = STATE_QUEUE_BYTES_HIGH / 2,
    STATE_PARAM_LARGE = 4096,   // bytes; smaller ones are bounded by their number
    STATE_RESULTS_HIGH = 20000, // unread kept results at which a task's dispatch pauses
    // Params, or bodies and messages, after which a batch that is given out ends early.
    STATE_BATCH_BYTES = BUDGET_BATCH_BYTES,
    STATE_LOSSES_MAX = 5,         // nodes that may vanish under one subtask before it is settled as lost
    STATE_LEASE_SPARE_MS = 30000, // how far a node may overstay a subtask's timeout, which it enforces
    STATE_READY_TILES = 32,       // looked into for due retries when a view is made
};

struct state_blob {
    const void *data;
    size_t bytes;
};

struct state_task { // as admitted
    uint64_t id;
    const char *type, *group;
    uint32_t priority;
    int64_t deadline_ms;
    int64_t born_ms; // when it was created; with the id it is the task for good: an id may come again when
                     // the records go back in time. 0: not known
    struct model_policy policy; // retries, backoff, tolerated failures
    uint32_t max_running;       // 0: no limit
    bool keep_results, fed;
    bool closing_callback;   // the type has an after_task_completed: the task passes through MODEL_CLOSING
    struct state_blob param; // a packed dtf.v1.TaskParam
    // Where it goes on, if the store lost it (struct state_point); all zero: from the beginning.
    struct model_counters counters;
    struct state_blob checkpoint;
    uint64_t made;
    bool again; // it was admitted before: positions of results are to begin above any that were given
};

// How far a task has got for good: from here it can go on if the store loses everything. Everything its
// generator made up to `made` is settled and so are the follow-ups of that, and if its results are kept, they
// were read. counters counts just that; checkpoint (data NULL: none) is the generator's after it.
struct state_point {
    uint64_t task, segment; // segment: of the pair (task, segment) each comes once, rising
    struct state_blob checkpoint;
    struct model_counters counters;
    uint64_t made;
    int progress_percent;
};

// What schedulers need to know of a task. version rises with every change of the task: an older view is not
// news.
struct state_view {
    uint64_t task;
    uint64_t version;
    const char *group, *type;
    uint32_t priority;
    // Subtasks that may be dispatched now; 0 if paused, stopping, or too many results are unread. Of retries
    // that are due at least one is counted, if there is one; not always all, if there are many.
    uint64_t ready;
    int64_t next_retry_ms; // when the next one becomes ready by time; CLOCK_NEVER (always, if ready is 0 for
                           // a reason above)
    uint64_t running;      // leased
    uint32_t max_running;
};

struct state_progress {
    uint64_t task;
    bool unknown; // the server that would know did not answer; all else is zero
    bool found;
    uint32_t damages; // not found: how often it was taken out as damaged; message says what was
    enum model_phase phase;
    bool paused;
    enum model_outcome outcome; // once stopping, closing or closed
    const char *message;
    struct model_counters counters;
    int64_t deadline_ms, born_ms; // as admitted
    const char *type;
    int progress_percent; // as the generator said last; -1: it did not
    // Of the point that it has reached (struct state_point); zero in a store that makes none.
    uint64_t point_made, point_settled;
};

struct state_queue {          // what of a task was never dispatched
    uint64_t subtasks, bytes; // bytes: of those of their params that are large
};

static inline bool state_queue_is_full(struct state_queue q)
{
    return q.subtasks >= STATE_QUEUE_HIGH || q.bytes >= STATE_QUEUE_BYTES_HIGH;
}

static inline bool state_queue_is_low(struct state_queue q)
{
    return q.subtasks <= STATE_QUEUE_LOW && q.bytes <= STATE_QUEUE_BYTES_LOW;
}

struct state_claim { // a generator's ownership of a task
    uint64_t task, fence;
    struct state_blob param, checkpoint; // checkpoint.data NULL: none yet
    uint64_t generated;                  // by the generator so far (follow-ups not counted)
    struct state_queue queue;
    int64_t deadline_ms;
    bool is_due; // a claim of somebody's, or the time that it was released until, has run out: no hint tells
};

struct state_subtask { // to be queued
    struct state_blob param;
    uint32_t timeout_ms;
};

struct state_pick { // a scheduler's decision
    uint64_t task;
    uint32_t count;
};

struct state_work { // leased
    uint64_t task, seq;
    uint32_t attempt, timeout_ms;
    const char *type;
    struct state_blob param;
};

struct state_taker { // a node that is given something
    uint64_t node;
    uint64_t most; // leases (in each part of a store) that it may hold afterwards; 0: any number
    const struct state_pick *picks;
    size_t pick_count;
    struct budget budget; // of the params; bytes 0: STATE_BATCH_BYTES
    // out
    int code; // OK; NOT_FOUND: it is not registered; else that of the call: it may have been given some
    struct state_work *work;
    size_t count;
    uint32_t *left; // of each pick: how many found no room and may still be ready; NULL: not known
};

struct state_ref {
    uint64_t task, seq;
    uint32_t attempt;
};

// Who holds, or held, a lease: a node's number, and the registration that got it: a number may come again
// when stores go back in time, a session does not. node 0: anybody; session 0: not asked for.
struct state_holder {
    uint64_t node, session;
};

enum state_requeue_reason {
    STATE_RETURNED, // by its node, not run: counts as redispatched
    STATE_DECLINED, // by before_dispatch
};

struct state_settle {
    struct state_ref ref;
    struct state_holder by;
    enum model_kind kind;
    int32_t code;
    const char *message;
    struct state_blob body;
    int64_t run_us;
    bool again; // after_execution said "not finished": treat as a failure that may be retried
    const struct state_subtask *followups;
    size_t followup_count;
};

enum state_verdict {
    STATE_STALE,   // not the current attempt, or settled before: nothing changed
    STATE_SETTLED, // counted
    STATE_RETRIED, // queued again
    STATE_UNHEARD, // its server did not answer: to be settled again
};

struct state_peek {
    bool current;  // leased, under just this attempt
    bool stopping; // its task is, or further
    const char *type;
    uint32_t timeout_ms;
    struct state_blob param;
};

struct state_result {
    uint64_t position; // the cursor to go on after it
    uint64_t segment;  // the state_point that includes it; 0: the store makes no points
    uint64_t seq;
    uint32_t attempt;
    enum model_kind kind;
    int32_t code;
    const char *message;
    struct state_blob body, param; // param: of failures only
    int64_t run_us;
};

struct state_node {
    uint64_t id;
    uint64_t session; // chosen by the node at random, for this registration; 0: it knows of none
    const char *name, *host, *types; // types: names separated by '\n'
    uint32_t pid, slots;
    int64_t lease_until_ms;
    uint64_t running, settled; // running: leases it holds
    // As node_note said last; not looked at by node_add. usable: all its slots, while it is short of nothing.
    uint32_t usable;
    const char *short_of, *quarantine;
};

enum { STATE_NOTE_MAX = 250 }; // bytes in a sentence about a node

struct state_note { // what there is to be told of a node
    uint64_t node;
    uint32_t usable;        // slots that it can use, while it is short of something
    const char *short_of;   // of what, in a sentence of UTF-8; "": of nothing
    const char *quarantine; // why it is given hardly any work; "": it is given its share
};

struct state_renewal { // of a node's lease
    uint64_t node;
    int64_t until_ms;
    bool exactly;
};

// What a node says it has, and what the store says to that.
struct state_holding {
    const struct state_ref *refs;
    size_t count;
    struct state_holder former; // of node_add: as whom it got them; node 0: it was nobody before
    // out
    bool *kept;      // one a ref: it is leased to the node (still, or now); any other the node must forget
    uint64_t *stops; // the tasks of those kept that are stopping
    size_t stop_count;
};

enum state_hint_kind { // bits, told in this order; the scripts of the Redis store have the same (numbers.c)
    STATE_HINT_SETTLED = 1 << 0,  // view.task, count, run_us: slot time that was used
    STATE_HINT_VIEW = 1 << 1,     // view: the task's readiness changed
    STATE_HINT_GENERATE = 1 << 2, // task: a generator has something to do (admitted, resumed, room again)
    STATE_HINT_STOP = 1 << 3,     // task: it is stopping: cancel its generator and what runs of it
    STATE_HINT_RESULTS = 1 << 4,  // task: a kept result can be read, or there will be no more
    STATE_HINT_CLOSING = 1 << 5,  // task: its closing callback is due
    STATE_HINT_CLOSED = 1 << 6,   // task: its end can be recorded
    STATE_HINT_GONE = 1 << 7,     // task: it was removed: its end is recorded
    STATE_HINT_DAMAGED = 1 << 8,  // task: it was damaged, is not here any more, and must be admitted again
    STATE_HINT_RESYNC = 1 << 9,   // hints may have been lost, or the store's last moments, or all it had:
                                  // look at everything again, and ask the nodes what they hold
};
enum { STATE_HINTS = 9 }; // that are told of a task: all but the last

struct state_hint {
    enum state_hint_kind kind;
    uint64_t task;
    struct state_view view; // STATE_HINT_VIEW; its strings live during the call
    uint64_t count;
    int64_t run_us;
};
typedef void (*state_watch_fn)(void *user, const struct state_hint *hint);

struct state {
    const struct state_ops *ops;
    bool disposable;      // may lose what it has: points, fed subtasks and wishes to stop are to be recorded
                          // elsewhere
    state_watch_fn watch; // for implementations; set by ops->watch
    void *watch_user;
};

// For implementations: the rule of admit.
static inline int state_check_ids(const struct state_task *tasks, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++) {
        if (!tasks[i].id)
            return status_set(st, NRPC_INVALID_ARGUMENT, "id: is 0");
        if (model_check_number("id", tasks[i].id, st))
            return NRPC_INVALID_ARGUMENT;
    }
    return NRPC_OK;
}

struct state_feeder {
    uint64_t task;
    int64_t lease_ms;
};

struct state_ops {
    void (*close)(struct state *s);
    // Says whom to tell. Called without locks, after a commit on the calling thread, or on a thread of the
    // store's. To be set once before use, and to NULL before what it uses goes: no call is under way after
    // that but those of threads that are in another operation.
    void (*watch)(struct state *s, state_watch_fn fn, void *user);
    // What calls that have returned have changed survives an outage of the machine. A disposable store does
    // nothing: what must survive is recorded elsewhere.
    int (*sync)(struct state *s, struct nrpc_status *st);
    // OK if the store answers and can be written to.
    int (*check)(struct state *s, struct nrpc_status *st);
    // Makes `owner` the one that does `duty` until until_ms, if nobody else does at now_ms; *leads: it is.
    int (*lead)(struct state *s, const char *duty, uint64_t owner, int64_t now_ms, int64_t until_ms,
                bool *leads, struct nrpc_status *st);

    // The time at which the store, or each part of it, began anew, as one number that changes with any of
    // them; *verified: all of it was compared with the records since. Does no I/O.
    uint64_t (*incarnation)(struct state *s, bool *verified);
    // What it has was compared with the records, and made to agree, since it began anew as `incarnation`, but
    // for these tasks: the parts that they are in stay unverified. No effect on a part that has begun anew
    // meanwhile.
    int (*verify)(struct state *s, uint64_t incarnation, const uint64_t *but, size_t but_count,
                  struct nrpc_status *st);
    // Raises the store's marks to at least these, and tells what they are.
    int (*marks)(struct state *s, struct model_marks *inout, struct nrpc_status *st);
    // Which state this is, for all who use it: a number that no other has, and another one after it began
    // anew. 0: not known now. Does I/O only before `watch`. *where: its address, the store's.
    uint64_t (*identity)(struct state *s, const char **where);
    // It must not be used until further notice: calls fail as UNAVAILABLE with this sentence. NULL: it may be
    // used again; what it has is to be looked at again, as after an outage.
    void (*bar)(struct state *s, const char *why);
    // What it has may be older than the records: it begins anew, so that nothing of it is used before it was
    // compared with them.
    int (*begin_anew)(struct state *s, struct nrpc_status *st);

    // The clock has jumped to now_ms: what was measured by the time before begins anew. Leases of subtasks
    // run as if given now; nodes, claims, duties and taken tasks are left to those who have them until
    // until_ms (0: as long as they were left to them: perhaps there was no jump); what waits for a time that
    // is far off is ready. So nothing ends, and nothing is held up, by the jump. ABORTED (likewise `sweep`):
    // the clock has jumped, and now_ms does not follow it yet.
    int (*rebase)(struct state *s, int64_t now_ms, int64_t until_ms, struct nrpc_status *st);

    // -- life of a task (the manager)
    // Adds tasks that are not there yet; one that is there is left as it is, unless it was born at another
    // time: then it is stopped as MODEL_OUTCOME_DROPPED, and the new one can be admitted when it is removed.
    // INVALID_ARGUMENT, adding none, if an id is 0 or over MODEL_NUMBER_MAX.
    int (*admit)(struct state *s, const struct state_task *tasks, size_t count, struct nrpc_status *st);
    // Flags the task: no dispatch, no generation; a generator that has claimed it is told
    // (STATE_HINT_GENERATE) and finds out. NOT_FOUND if it is not here. Setting what is set is fine.
    int (*pause)(struct state *s, uint64_t task, bool paused, struct nrpc_status *st);
    // generating, draining -> stopping, or at once closing/closed if nothing is leased. Drops everything
    // queued (counted as cancelled). A task that is stopping or further keeps its first outcome, but for
    // MODEL_OUTCOME_DROPPED, which says that this is not the task's end, but the end of its place here: it
    // passes over the closing callback, and what it kept goes with it. NOT_FOUND if it is not here.
    int (*stop)(struct state *s, uint64_t task, enum model_outcome outcome, const char *message,
                struct nrpc_status *st);
    // Up to max tasks that are not stopping yet and whose deadline has passed (here, and where results are
    // kept until a time, time is the date, which may differ from the roles' time); *next_ms: the earliest
    // deadline of the rest.
    int (*overdue)(struct state *s, int64_t now_ms, size_t max, struct arena *a, uint64_t **tasks,
                   size_t *count, int64_t *next_ms, struct nrpc_status *st);
    // Up to max tasks in this phase, ids rising, after `after`.
    int (*in_phase)(struct state *s, enum model_phase phase, uint64_t after, size_t max, struct arena *a,
                    uint64_t **tasks, size_t *count, struct nrpc_status *st);
    // Takes up to max tasks of this phase (closing, closed) that nobody has taken, or whose taker's time has
    // run out; they are the caller's until until_ms.
    int (*take)(struct state *s, enum model_phase phase, int64_t now_ms, int64_t until_ms, size_t max,
                struct arena *a, uint64_t **tasks, size_t *count, struct nrpc_status *st);
    // Gives the taker of closing tasks more time.
    int (*hold)(struct state *s, const uint64_t *tasks, size_t count, int64_t until_ms,
                struct nrpc_status *st);
    // closing -> closed; failure, if not NULL, turns the outcome into failed with that text. Fine if closed
    // already; FAILED_PRECONDITION before closing; NOT_FOUND.
    int (*close_task)(struct state *s, uint64_t task, const char *failure, struct nrpc_status *st);
    // Counts that a callback (its name) of the task ended its process; *count: how often so far, with this
    // time. NOT_FOUND.
    int (*blame)(struct state *s, uint64_t task, const char *callback, uint64_t *count,
                 struct nrpc_status *st);
    // Forgets a closed task; one that is not closed, or not here, is left as it is. Kept results that were
    // not read stay readable until results_until_ms.
    int (*remove)(struct state *s, const uint64_t *tasks, size_t count, int64_t results_until_ms,
                  struct nrpc_status *st);
    // UNAVAILABLE if a server did not answer: then `unknown` is set for its tasks, and what is said of the
    // others holds.
    int (*progress)(struct state *s, const uint64_t *tasks, size_t count, struct arena *a,
                    struct state_progress *out, struct nrpc_status *st);
    // Forgets results whose time has come, and that a task was read to its end, the second time after that.
    int (*expire_results)(struct state *s, int64_t now_ms, struct nrpc_status *st);
    // The newest points, of up to max tasks, that were not confirmed as recorded. May give fewer than max
    // (checkpoints over STATE_BATCH_BYTES), but none only if there are none.
    int (*points)(struct state *s, size_t max, struct arena *a, struct state_point **out, size_t *count,
                  struct nrpc_status *st);
    int (*points_recorded)(struct state *s, const struct state_point *points, size_t count,
                           struct nrpc_status *st);

    // -- generation (the generator)
    // Gives `owner` up to max tasks that are generating, not paused, not fed, whose queue is not full, and
    // owned by nobody whose lease still runs (until_ms > now_ms); raises their fence. Those that nobody has
    // owned, or that were released without a time, come first, by priority. FAILED_PRECONDITION:
    // some of the store is still to be verified; the claims given are of the rest.
    int (*claim)(struct state *s, uint64_t owner, int64_t now_ms, int64_t until_ms, size_t max,
                 struct arena *a, struct state_claim **out, size_t *count, struct nrpc_status *st);
    // Extends the leases of these tasks, as far as they are still the owner's.
    int (*renew_claims)(struct state *s, uint64_t owner, const uint64_t *tasks, size_t count,
                        int64_t until_ms, struct nrpc_status *st);
    // Gives a task back, and this fence is old. Somebody may claim it immediately, or, unless 0, from
    // not_before_ms on, or when its queue has become low. Nothing happens under an old fence.
    int (*release_claim)(struct state *s, uint64_t task, uint64_t fence, int64_t not_before_ms,
                         struct nrpc_status *st);
    // Queues subtasks, stores the checkpoint (data NULL: leaves the old) and, with done, ends generation, in
    // one step. `at`: how many were pushed before; the push that was done last may be repeated, to no effect.
    // ABORTED when the fence is old, `at` is another, or the task is paused or no longer generates;
    // NOT_FOUND. *queue: as it is after it. progress_percent: as the generator estimates; -1: it cannot tell.
    int (*push)(struct state *s, uint64_t task, uint64_t fence, uint64_t at,
                const struct state_subtask *subtasks, size_t count, struct state_blob checkpoint, bool done,
                int progress_percent, struct state_queue *queue, struct nrpc_status *st);
    // Queues what is new of subtasks `at`..at+count of a fed task; finish ends generation once.
    // RESOURCE_EXHAUSTED, adding nothing, while the queue is full; OUT_OF_RANGE if `at` leaves
    // a gap; FAILED_PRECONDITION if the task is not fed, or finished and this would add to it; ABORTED if it
    // is stopping or further. What was fed before may be fed again at any time, also the finish: nothing
    // happens, *fed says how many there are.
    int (*feed)(struct state *s, uint64_t task, uint64_t at, const struct state_subtask *subtasks,
                size_t count, bool finish, uint64_t *fed, struct nrpc_status *st);

    // A task's feeder was heard of at heard_ms. lease_ms: how long it may then stay silent, if nothing was
    // said of that before; 0: a task of which nothing was said stays so. Nothing happens to a task that is
    // stopping or further. NOT_FOUND if it is not here.
    int (*feeder)(struct state *s, uint64_t task, int64_t lease_ms, int64_t heard_ms, struct nrpc_status *st);
    // Up to max tasks, ids rising, that are not stopping yet and whose feeders have been silent for their
    // lease. UNAVAILABLE if a server does not answer: its tasks' feeders cannot be heard of then.
    int (*feeders_overdue)(struct state *s, int64_t now_ms, size_t max, struct arena *a,
                           struct state_feeder **out, size_t *count, struct nrpc_status *st);

    // -- dispatch (the scheduler)
    // Views of up to max tasks after `after` (ids rising) that are generating or draining.
    int (*views)(struct state *s, int64_t now_ms, uint64_t after, size_t max, struct arena *a,
                 struct state_view **out, size_t *count, struct nrpc_status *st);
    // Leases to each node, in their order, up to pick.count ready subtasks of each task that was picked for
    // it (retries that are due first, then fresh ones in order; fewer if there are fewer, or max_running
    // allows no more). A task that is not here is passed over. A node's picks end early when it holds as many
    // as it may, or the params have used its budget up. Each taker's code says what became of it; OK if that
    // is OK or NOT_FOUND for all, else the first other one. FAILED_PRECONDITION: nothing of this node's
    // picks, as some of the store is still to be verified.
    int (*lease)(struct state *s, int64_t now_ms, struct state_taker *takers, size_t count, struct arena *a,
                 struct nrpc_status *st);
    // Puts leased subtasks back in the queue, to be ready at ready_ms. Stale ones, and those that `by` does
    // not hold (NULL: anybody's count), are passed over.
    int (*requeue)(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
                   enum state_requeue_reason reason, int64_t ready_ms, struct nrpc_status *st);
    // Leases whose results are at hand do not end before until_ms. Stale ones, those that `by` does not hold,
    // and those of a task that is stopping or further, are passed over.
    int (*extend)(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
                  int64_t until_ms, struct nrpc_status *st);
    // Nodes whose lease ran out (lease_until_ms <= now_ms) are removed and what they held is queued again,
    // counting a loss for each subtask; subtasks past their own limit (timeout and 30 s) likewise, counting a
    // timeout. *next_ms: when to sweep again, or earlier. lost: the removed nodes.
    int (*sweep)(struct state *s, int64_t now_ms, struct arena *a, uint64_t **lost, size_t *lost_count,
                 int64_t *next_ms, struct nrpc_status *st);
    // The nodes that hold something of a task.
    int (*holders)(struct state *s, uint64_t task, struct arena *a, uint64_t **nodes, size_t *count,
                   struct nrpc_status *st);

    // -- results (the collector)
    // For each ref, whether it is the current attempt of its holder (by: one a ref; NULL: anybody's), and of
    // what.
    int (*peek)(struct state *s, const struct state_ref *refs, const struct state_holder *by, size_t count,
                struct arena *a, struct state_peek *out, struct nrpc_status *st);
    // Settles results: removes the lease, counts, keeps the result, adds follow-ups, and moves the task on
    // when it is drained or has failed too often; in one step. verdicts has room for count. UNAVAILABLE only
    // if no server answers; otherwise the verdict on what another one has is STATE_UNHEARD. A cancelled
    // result is never retried. Of a task that is stopping nothing is retried and no follow-up is added, and
    // what is no success counts as cancelled. INVALID_ARGUMENT, changing nothing, if a kind is none.
    int (*settle)(struct state *s, int64_t now_ms, const struct state_settle *entries, size_t count,
                  enum state_verdict *verdicts, struct nrpc_status *st);
    // Kept results after position `after`, oldest first; forgets those up to `after`. *end: the task is gone
    // and these are the last. NOT_FOUND: the task is not here, and what it kept was read to its end, has
    // expired, or never was; whoever has had the last of it (`after`) is told the end again for a while. May
    // give fewer than max (bodies over STATE_BATCH_BYTES), but none only if there are none.
    int (*results)(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
                   struct state_result **out, size_t *count, bool *end, struct nrpc_status *st);
    // Subtasks that failed, timed out or were lost for good, with their parameters; stays until remove.
    int (*failures)(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
                    struct state_result **out, size_t *count, struct nrpc_status *st);

    // -- nodes (the scheduler)
    // Adds a node, gives it an id that this store has never given before. The same session again gets the
    // same id. What the store knows as leased to holding->former and the node says it has becomes its own,
    // the rest of that is ready again, counted as redispatched, and the former number is gone. holding NULL:
    // it has nothing.
    int (*node_add)(struct state *s, const struct state_node *node, struct state_holding *holding,
                    struct arena *a, uint64_t *id, struct nrpc_status *st);
    // NOT_FOUND: no such number, or it is another's, or the store has begun anew since (state.h's head): the
    // node must register again.
    int (*node_get)(struct state *s, struct state_holder who, struct arena *a, struct state_node *out,
                    struct nrpc_status *st);
    // Leases end then; unless `exactly`, none earlier than before. *lost: those of ids that are not
    // registered.
    int (*node_renew)(struct state *s, const struct state_renewal *renewals, size_t count, struct arena *a,
                      uint64_t **lost, size_t *lost_count, struct nrpc_status *st);
    // All nodes get at least until until_ms: nobody could have renewed while no coordinator ran.
    int (*node_grace)(struct state *s, int64_t until_ms, struct nrpc_status *st);
    // `holding` is all the node has; anything else leased to it goes back to the queue, ready now, counted as
    // redispatched. NOT_FOUND.
    int (*node_reconcile)(struct state *s, struct state_holder who, struct state_holding *holding,
                          struct arena *a, struct nrpc_status *st);
    // Removes a node that said goodbye; what it held is ready again, counted as redispatched. NOT_FOUND.
    int (*node_remove)(struct state *s, struct state_holder who, struct nrpc_status *st);
    // Keeps what there is to be told of these nodes, in the place of what was told before. One that is not
    // registered is passed over; a new number has nothing told of it.
    int (*node_note)(struct state *s, const struct state_note *notes, size_t count, struct nrpc_status *st);
    int (*nodes)(struct state *s, struct arena *a, struct state_node **out, size_t *count,
                 struct nrpc_status *st);
};

#endif
