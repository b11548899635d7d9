// SPDX-License-Identifier: Apache-2.0
// state_redis_internal.h: the parts of the Redis state store and how a call goes through them.
//
// An operation is a script (redis/<name>.lua) run on one shard, or on each in turn: rs_begin, the arguments,
// rs_do, reading the reply, rs_end. All decisions are made in the script; here is only packing and unpacking.
// Nothing is kept between calls but connections, and which tasks keep results.
#ifndef STATE_REDIS_INTERNAL_H
#define STATE_REDIS_INTERNAL_H

#include "base/clock.h"
#include "base/mem.h"
#include "redis_scripts.h"
#include "state/redis_link.h"
#include "state/state_redis.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum {
    RS_TILE = 32,
    RS_KEEPS = 4096,      // tasks of which we remember whether they keep results
    RS_CALL_ITEMS = 2000, // subtasks, or results, in one script call
    RS_CALL_BYTES = 4 << 20,
    RS_CALL_RUNS =
        64, // tiles in one script call: others wait for it, and each costs some 100 us on a busy machine
    RS_ADMIT_MAX = 16, // tasks in one script call: each costs a millisecond at worst
    RS_REPLY = 2,      // where a script's own answers begin
};

#define RS_SEEN INT64_MIN // as the time of a call: the latest that any was given

struct rs_store;

struct rs_shard {
    struct rs_store *store;
    unsigned index;
    char prefix[24]; // "dtf:{0}"
    struct redis_link *link;
    _Atomic uint64_t epoch;    // of the server's data, as the newest connection was told
    _Atomic uint64_t verified; // the epoch in which it was compared with the records
    _Atomic unsigned unfit;    // settings that it should not have, a bit each (state_redis_settings.c)
    bool hides_settings;
    // The watching thread's:
    pthread_t thread;
    atomic_bool watching;
    int wake[2]; // a pipe: a zero byte ends the thread, another one makes it look
    uint64_t epoch_told;
    bool reachable;
    // A call failed, and the watching thread has not heard the server since: calls are not made to wait for
    // it.
    atomic_bool down;
    _Atomic uint64_t outages; // times that it went down, and came back
    pthread_mutex_t why_lock;
    char why[sizeof((struct nrpc_status *)0)->text]; // it is down, as the watching thread was told; "": that
                                                     // has not asked yet, or it is not
};

struct rs_store {
    struct state state; // first: the interface's pointer is ours
    struct rs_shard *shards;
    size_t shard_count,
        server_count; // servers: addresses; shard i lies at the one of number i % server_count
    char sender[48];  // who we are among those who read the hints: installation/number
    int (*next_ids)(void *user, uint64_t count, uint64_t *first, struct nrpc_status *st);
    void *user;
    uint64_t installation;  // 0: not known
    _Atomic int64_t now_ms; // the latest time any call was given: the time of calls that are given none
    _Atomic uint64_t keeps[RS_KEEPS]; // by task: id << 1 | whether it keeps results
    atomic_bool is_barred;            // no shard of it may be used
    pthread_mutex_t bar_lock;
    char bar[sizeof((struct nrpc_status *)0)->text]; // why
};

// ---- a call

struct rs_call {
    struct rs_shard *shard;
    struct nrpc_status *st;
    struct arena scratch;
    const char **args;
    size_t *lengths, count, capacity, length_capacity;
    const char *script;
    redisReply *reply;
    struct arena *out; // the caller's
    int code;
};

void rs_begin(struct rs_call *c, struct rs_shard *shard, int64_t now_ms, struct arena *out,
              struct nrpc_status *st);
void rs_u64(struct rs_call *c, uint64_t value);
void rs_i64(struct rs_call *c, int64_t value);
void rs_time(struct rs_call *c, int64_t ms);
void rs_text(struct rs_call *c, const char *text);                   // NULL: empty
void rs_bytes(struct rs_call *c, const void *data, size_t bytes);    // must live until rs_do
void rs_optional(struct rs_call *c, const void *data, size_t bytes); // 0 or 1, and the bytes
// Those of the tasks that are the shard's, after their number, which it returns.
size_t rs_put_tasks(struct rs_call *c, const uint64_t *tasks, size_t count);
// Calls a script without an answer for tasks of all shards, some at a time: with `first` (NULL: it takes
// none), a time, and the tasks.
enum { RS_TASKS_MAX = 200 };
int rs_do_tasks(struct state *s, enum redis_script_id script, const uint64_t *first, int64_t ms,
                const uint64_t *tasks, size_t count, struct nrpc_status *st);
void rs_batch(struct rs_call *c, const struct state_subtask *subtasks, size_t count);
void *rs_scratch(struct rs_call *c, size_t bytes);

// Runs the script; the code it answers with, or what went wrong.
int rs_do(struct rs_call *c, enum redis_script_id script);
int rs_end(struct rs_call *c); // tells the watcher, frees; the code

// A call to all servers. One that is known to be down is left out, so that it harms nobody's tasks but its
// own; one that fails now fails the call, after all others have been asked. Who comes back tells
// STATE_HINT_RESYNC.
struct rs_round {
    struct rs_store *store;
    struct nrpc_status *st;
    size_t next, asked, answered;
    int code;
};
struct rs_round rs_round(struct state *s, struct nrpc_status *st);
struct rs_shard *rs_next(struct rs_round *r);  // NULL: there is no other to ask
void rs_note(struct rs_round *r, int code);    // what became of asking it
int rs_round_end(const struct rs_round *r);    // UNAVAILABLE if nobody was asked
int rs_round_any(const struct rs_round *r);    // as that, but OK if somebody answered: the rest comes later
bool rs_is_down(const struct rs_shard *shard); // known to be, or barred
int rs_fail_down(struct rs_shard *shard, struct nrpc_status *st); // UNAVAILABLE, and why

// For operations on one task with a plain answer.
int rs_finish(struct rs_call *c, enum redis_script_id script);

// ---- the reply (state_redis_reply.c): its parts, each read as what it must be. Any other fails the call as
// DATA_LOSS, in a sentence with its name, and reads as 0, empty or a text of no length.

uint64_t rs_u64_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
uint32_t rs_u32_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
int64_t rs_time_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
int rs_small_at(struct rs_call *c, const redisReply *array, size_t i, const char *name, int least, int most);
uint32_t rs_mask_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
const redisReply *rs_array_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
const char *rs_text_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
struct state_blob rs_blob_at(struct rs_call *c, const redisReply *array, size_t i, const char *name);
void rs_surprise(struct rs_call *c, const redisReply *r, const char *name);
bool rs_parse_u64(const char *text, uint64_t most, uint64_t *out); // all of the text, digits only

const redisReply *rs_at(const redisReply *array, size_t i); // nil, if there is none
size_t rs_size(const redisReply *array);
bool rs_is_nil(const redisReply *r);

// In the caller's arena; NULL if the call has failed, or fails now because the arena's budget is used up.
void *rs_out(struct rs_call *c, size_t count, size_t size);
struct state_blob rs_out_blob(struct rs_call *c, const void *data, size_t bytes);

// Ids gathered from replies of several shards.
struct rs_ids {
    uint64_t *at;
    size_t count, capacity;
};
void rs_ids_add(struct rs_ids *ids, struct rs_call *c, size_t at); // the reply's part number `at`
int rs_compare_ids(const void *a, const void *b); // for qsort: numbers, or structs that begin with one
// Sorted, each once, at most max, in the caller's arena; none if code is a failure. Frees the list; the code.
int rs_ids_give(struct rs_ids *ids, int code, size_t max, struct arena *a, uint64_t **out, size_t *count,
                struct nrpc_status *st);

struct rs_shard *rs_shard_of(const struct rs_store *store, uint64_t task);

// ---- refs in runs: consecutive ones that share task, tile and attempt

struct rs_run {
    uint64_t task, tile;
    uint32_t attempt, mask;
    size_t first, count; // of the refs
};

// Those of `count` refs that are a shard's, as runs in the caller's scratch. A run never holds a subtask
// twice, and is of one holder (by: one a ref; NULL: not asked for).
struct rs_run *rs_runs(struct rs_call *c, const struct state_ref *refs, const struct state_holder *by,
                       size_t count, size_t *run_count);
// How many of the refs one script call may have.
size_t rs_slice(const struct state_ref *refs, const struct state_holder *by, size_t count);
void rs_put_runs(struct rs_call *c, const struct rs_run *runs,
                 size_t count); // count; each: task, tile, attempt, mask
// The ref of a run with this place in the tile.
size_t rs_run_find(const struct rs_run *run, const struct state_ref *refs, unsigned place);

// A task whose damage only this side can see is taken out of the state, as the scripts do (task.lua).
// key: "p" for p:<task>.
void rs_ruin(struct rs_shard *shard, uint64_t task, const char *key, const char *what);

// Calls fn for each subtask of a packed tile ("pieces"), in order; false: it is damaged from there on.
typedef void (*rs_piece_fn)(void *user, unsigned place, const void *data, size_t bytes);
bool rs_each_piece(const redisReply *pieces, rs_piece_fn fn, void *user);

// ---- hints, and the thread that hears those of others (state_redis_watch.c)

void rs_tell(struct rs_store *store, const char *hints, size_t bytes);
// false: it makes no sense; *at is behind it, or as it was if nothing follows.
bool rs_read_view(const char **at, const char *end, struct state_hint *hint, unsigned *bits);
void rs_watch(struct state *s, state_watch_fn fn, void *user);
void rs_doubt(struct rs_shard *shard); // a call failed: let the watching thread find out whether it is down
int rs_check_clock(struct rs_store *store, struct nrpc_status *st); // ABORTED: ours does not follow it yet
int rs_tick(struct rs_shard *shard, struct nrpc_status *st); // sets our clock by the server's, notices a wipe
bool rs_look_after(struct rs_shard *shard,
                   struct nrpc_status *st); // likewise, and greets a server that was wiped

// ---- how it is set (state_redis_settings.c)

void rs_look_at_settings(struct rs_shard *shard); // says what is not as it should be, once
int rs_check_settings(const struct rs_shard *shard, struct nrpc_status *st); // FAILED_PRECONDITION

// ---- whether the server is still the same (state_redis_incarnation.c)

int rs_hello(void *shard, redisContext *c, struct nrpc_status *st);

bool rs_is_cluster(const struct rs_shard *shard); // it lies in a Redis Cluster

// ---- the operations, each in the file of its noun; state.h documents them

void rs_close(struct state *s);
int rs_sync(struct state *s, struct nrpc_status *st);
int rs_check(struct state *s, struct nrpc_status *st);
int rs_lead(struct state *s, const char *duty, uint64_t owner, int64_t now_ms, int64_t until_ms, bool *leads,
            struct nrpc_status *st);
uint64_t rs_incarnation(struct state *s, bool *verified);
int rs_verify(struct state *s, uint64_t incarnation, const uint64_t *but, size_t but_count,
              struct nrpc_status *st);
int rs_marks(struct state *s, struct model_marks *inout, struct nrpc_status *st);
uint64_t rs_identity(struct state *s, const char **where);
void rs_bar(struct state *s, const char *why);
int rs_begin_anew(struct state *s, struct nrpc_status *st);
int rs_rebase(struct state *s, int64_t now_ms, int64_t until_ms, struct nrpc_status *st);
int rs_admit(struct state *s, const struct state_task *tasks, size_t count, struct nrpc_status *st);
int rs_pause(struct state *s, uint64_t task, bool paused, struct nrpc_status *st);
int rs_stop(struct state *s, uint64_t task, enum model_outcome outcome, const char *message,
            struct nrpc_status *st);
int rs_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a, uint64_t **tasks, size_t *count,
               int64_t *next_ms, struct nrpc_status *st);
int rs_in_phase(struct state *s, enum model_phase phase, uint64_t after, size_t max, struct arena *a,
                uint64_t **tasks, size_t *count, struct nrpc_status *st);
int rs_take(struct state *s, enum model_phase phase, int64_t now_ms, int64_t until_ms, size_t max,
            struct arena *a, uint64_t **tasks, size_t *count, struct nrpc_status *st);
int rs_hold(struct state *s, const uint64_t *tasks, size_t count, int64_t until_ms, struct nrpc_status *st);
int rs_close_task(struct state *s, uint64_t task, const char *failure, struct nrpc_status *st);
int rs_blame(struct state *s, uint64_t task, const char *callback, uint64_t *count, struct nrpc_status *st);
int rs_remove(struct state *s, const uint64_t *tasks, size_t count, int64_t results_until_ms,
              struct nrpc_status *st);
int rs_progress(struct state *s, const uint64_t *tasks, size_t count, struct arena *a,
                struct state_progress *out, struct nrpc_status *st);
int rs_expire_results(struct state *s, int64_t now_ms, struct nrpc_status *st);
int rs_points(struct state *s, size_t max, struct arena *a, struct state_point **out, size_t *count,
              struct nrpc_status *st);
int rs_points_recorded(struct state *s, const struct state_point *points, size_t count,
                       struct nrpc_status *st);
int rs_claim(struct state *s, uint64_t owner, int64_t now_ms, int64_t until_ms, size_t max, struct arena *a,
             struct state_claim **out, size_t *count, struct nrpc_status *st);
int rs_renew_claims(struct state *s, uint64_t owner, const uint64_t *tasks, size_t count, int64_t until_ms,
                    struct nrpc_status *st);
int rs_release_claim(struct state *s, uint64_t task, uint64_t fence, int64_t not_before_ms,
                     struct nrpc_status *st);
int rs_push(struct state *s, uint64_t task, uint64_t fence, uint64_t at, const struct state_subtask *subtasks,
            size_t count, struct state_blob checkpoint, bool done, int progress_percent,
            struct state_queue *queue, struct nrpc_status *st);
int rs_feed(struct state *s, uint64_t task, uint64_t at, const struct state_subtask *subtasks, size_t count,
            bool finish, uint64_t *fed, struct nrpc_status *st);
int rs_feeder(struct state *s, uint64_t task, int64_t lease_ms, int64_t heard_ms, struct nrpc_status *st);
int rs_feeders_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a,
                       struct state_feeder **out, size_t *count, struct nrpc_status *st);
int rs_views(struct state *s, int64_t now_ms, uint64_t after, size_t max, struct arena *a,
             struct state_view **out, size_t *count, struct nrpc_status *st);
int rs_lease(struct state *s, int64_t now_ms, struct state_taker *takers, size_t count, struct arena *a,
             struct nrpc_status *st);
int rs_extend(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
              int64_t until_ms, struct nrpc_status *st);
int rs_requeue(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
               enum state_requeue_reason reason, int64_t ready_ms, struct nrpc_status *st);
int rs_sweep(struct state *s, int64_t now_ms, struct arena *a, uint64_t **lost, size_t *lost_count,
             int64_t *next_ms, struct nrpc_status *st);
int rs_holders(struct state *s, uint64_t task, struct arena *a, uint64_t **nodes, size_t *count,
               struct nrpc_status *st);
int rs_peek(struct state *s, const struct state_ref *refs, const struct state_holder *by, size_t count,
            struct arena *a, struct state_peek *out, struct nrpc_status *st);
int rs_settle_batch(struct state *s, int64_t now_ms, const struct state_settle *entries, size_t count,
                    enum state_verdict *verdicts, struct nrpc_status *st);
int rs_results(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
               struct state_result **out, size_t *count, bool *end, struct nrpc_status *st);
int rs_failures(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
                struct state_result **out, size_t *count, struct nrpc_status *st);
int rs_node_add(struct state *s, const struct state_node *node, struct state_holding *holding,
                struct arena *a, uint64_t *id, struct nrpc_status *st);
int rs_node_get(struct state *s, struct state_holder who, struct arena *a, struct state_node *out,
                struct nrpc_status *st);
int rs_node_renew(struct state *s, const struct state_renewal *renewals, size_t count, struct arena *a,
                  uint64_t **lost, size_t *lost_count, struct nrpc_status *st);
int rs_node_grace(struct state *s, int64_t until_ms, struct nrpc_status *st);
int rs_node_note(struct state *s, const struct state_note *notes, size_t count, struct nrpc_status *st);
int rs_node_reconcile(struct state *s, struct state_holder who, struct state_holding *holding,
                      struct arena *a, struct nrpc_status *st);
int rs_node_remove(struct state *s, struct state_holder who, struct nrpc_status *st);
int rs_nodes(struct state *s, struct arena *a, struct state_node **out, size_t *count,
             struct nrpc_status *st);

#endif
