// SPDX-License-Identifier: Apache-2.0
// state_sqlite_internal.h: the parts of the SQLite state store and how a call goes through them.
//
// Every operation is one sq_call: sq_begin takes the connection; the operation reads what it touches (tasks,
// tiles, nodes) into the call, once, and changes it there; sq_end moves the touched tasks on
// (model_phase_next), writes everything back, each row once, commits, frees the connection and then tells the
// watcher. The first failure sticks: later steps do nothing, sq_end rolls back and returns it. Nothing is
// kept between calls.
//
// Subtasks are stored by the tile: SQ_TILE consecutive numbers share a row that says what is going on with
// each, so that a batch costs a few rows instead of one a subtask. A tile appears with its first dispatch and
// goes with its last settlement. What to execute (`params`) is written once, in rows of up to a tile, and
// deleted with the tile.
#ifndef STATE_SQLITE_INTERNAL_H
#define STATE_SQLITE_INTERNAL_H

#include "base/clock.h"
#include "embedded/db_internal.h"
#include "state/state.h"

#define uthash_fatal(message) abort()
#include <stdlib.h>
#include <uthash.h>

enum {
    SQ_TILE = 32,                // a tile's row then stays within a quarter page, in the b-tree's leaf
    SQ_PARAMS_BYTES = 64 * 1024, // of params in a row, if they are more than one
};

enum sq_sql {
    SQL_TASK_INSERT,
    SQL_TASK_GET,
    SQL_TASK_UPDATE,
    SQL_TASK_PLACE,
    SQL_TASK_DELETE,
    SQL_BLAME_ADD,
    SQL_BLAME_DELETE,
    SQL_TASK_VIEWS,
    SQL_TASK_OVERDUE,
    SQL_TASK_IN_PHASE,
    SQL_TASK_CLAIMABLE,
    SQL_TASK_HELD,
    SQL_TASK_PARAM_PUT,
    SQL_TASK_PARAM_DELETE,
    SQL_TASK_BLOBS,
    SQL_CHECKPOINT_PUT,
    SQL_CHECKPOINT_DELETE,
    SQL_PARAMS_INSERT,
    SQL_PARAMS_GET,
    SQL_PARAMS_DELETE,
    SQL_TILE_GET,
    SQL_TILE_INSERT,
    SQL_TILE_UPDATE,
    SQL_TILE_UPDATE_RETRY,
    SQL_TILE_DELETE,
    SQL_TILE_CLEAR,
    SQL_TILE_RETRIES,
    SQL_TILE_LEASED,
    SQL_TILE_FAR,
    SQL_TILE_LEASED_OF,
    SQL_RESULT_INSERT,
    SQL_RESULT_READ,
    SQL_RESULT_FORGET,
    SQL_FAILURE_INSERT,
    SQL_FAILURE_READ,
    SQL_FAILURE_DELETE,
    SQL_FEEDER_INSERT,
    SQL_FEEDER_RENEW,
    SQL_FEEDER_OVERDUE,
    SQL_GONE_INSERT,
    SQL_GONE_GET,
    SQL_GONE_DELETE,
    SQL_GONE_READ_OUT,
    SQL_GONE_DUE,
    SQL_GONE_AGE,
    SQL_NODE_INSERT,
    SQL_NODE_GET,
    SQL_NODE_SESSION,
    SQL_NODE_RUNNING,
    SQL_NODE_OF_SESSION,
    SQL_NODE_UPDATE,
    SQL_NODE_RENEW,
    SQL_NODE_GRACE,
    SQL_NODE_NOTE,
    SQL_NODE_REBASE,
    SQL_NODE_DELETE,
    SQL_NODE_LOST,
    SQL_NODE_NEXT,
    SQL_NODE_LIST,
    SQ_SQL_COUNT,
};

extern const char *const sq_sql[SQ_SQL_COUNT]; // state_sqlite_schema.c

struct sq_store {
    struct state state; // first: the interface's pointer is ours
    struct db_statements sql;
    uint64_t incarnation; // random, of this opening: nodes of an earlier one must register again
    int64_t opened_ms;    // by the wall's clock
    // Guarded by the connection:
    int64_t now_ms;               // the latest time any call was given: the time of calls that are given none
    _Atomic int64_t due_floor_ms; // no leased subtask is due before it
    struct sq_taken *taken;       // ending tasks that somebody in this process works on
};

struct sq_taken {
    uint64_t task;
    int64_t until_ms;
    UT_hash_handle hh;
};

// ---- a call

struct sq_task {
    uint64_t id;
    const char *type, *group; // as admitted
    uint32_t priority;
    int64_t deadline_ms;
    struct model_policy policy;
    uint32_t max_running;
    bool keep_results, fed, closing_callback;
    int64_t born_ms;

    enum model_phase phase; // these three have indexes: see task_place
    int64_t claim_at_ms;    // when a generator may claim it; below 0, the lower the sooner; CLOCK_NEVER
    uint64_t owner;         // the generator that has claimed it; 0: none
    int64_t owner_until_ms; // of nobody: before which it is not to be claimed
    uint64_t fence;
    uint64_t version;
    bool paused;
    enum model_outcome outcome;
    const char *message;
    struct model_counters counters;
    uint64_t made;                  // subtasks its generator pushed, or that were fed
    uint64_t cursor;                // the first subtask that was never dispatched
    uint64_t queued_bytes;          // of the large params from there on
    uint64_t results, results_read; // the last position; that less what is kept
    int progress_percent;           // as the generator said last; -1

    struct { // what the row has
        enum model_phase phase;
        int64_t claim_at_ms;
        uint64_t owner;
    } stored;
    bool changed;   // in this call
    unsigned hints; // enum state_hint_kind
    struct state_queue queue_before;
    uint64_t used_count;
    int64_t used_us;
    const char *type_out; // `type` in the caller's arena
    struct state_view view;
    UT_hash_handle hh;
};

enum sq_subtask_state { SQ_FRESH, SQ_LEASED, SQ_WAITING, SQ_DONE };

struct sq_subtask { // stored as it is, in this machine's byte order: the file does not travel
    int64_t due_ms; // leased: when it has timed out; waiting: when it is ready
    uint32_t node;
    uint32_t attempt; // of the last dispatch
    uint32_t failures;
    uint8_t losses, state; // enum sq_subtask_state
    uint8_t unused[2];
};
_Static_assert(sizeof(struct sq_subtask) == 24, "a stored format");

struct sq_params { // a row of them
    struct sq_params *next;
    uint64_t first, count;
    const unsigned char *data;
    size_t bytes;
};

struct sq_tile {
    struct sq_tile_key {
        uint64_t task, number;
    } key;
    struct sq_subtask subtasks[SQ_TILE];
    int64_t stored_retry_ms;
    bool stored, dirty;
    struct sq_params *params; // those read in this call
    UT_hash_handle hh;
};

struct sq_node {
    uint64_t id;
    int64_t running, settled; // changes
    bool looked;              // session is what the row has; 0: there is none
    uint64_t session;
    UT_hash_handle hh;
};

struct sq_call {
    struct sq_store *store;
    struct nrpc_status *st;
    int code; // the first failure
    int64_t now_ms;
    struct arena scratch; // what the call reads and tells
    struct arena *out;    // the caller's arena, where params go; or scratch
    struct sq_task *tasks, *last_task;
    struct sq_tile *tiles, *last_tile;
    struct sq_node *nodes, *last_node;
};

int sq_begin(struct sq_call *c, struct state *s, enum db_mode mode, struct arena *out,
             struct nrpc_status *st);
int sq_end(struct sq_call *c);
void sq_see_time(struct sq_call *c, int64_t now_ms);

// The call fails; returns false for the caller's convenience.
bool sq_fail(struct sq_call *c, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

// db_bind on the store's statements.
#define sq_bind(c, index, ...) db_bind(&(c)->store->sql, index, __VA_ARGS__)
bool sq_step(struct sq_call *c,
             sqlite3_stmt *stmt); // a row is there; false at the end or when the call failed
void sq_run(struct sq_call *c, sqlite3_stmt *stmt);

// From the caller's arena; NULL if the call has failed, or fails now because the arena's budget is used up.
void *sq_out(struct sq_call *c, size_t count, size_t size);
const char *sq_out_text(struct sq_call *c, const char *text);
void sq_out_blob(struct sq_call *c, sqlite3_stmt *stmt, int column, struct state_blob *out);

// A list of ids or numbers.
struct sq_list {
    uint64_t *ids;
    size_t count, capacity;
};
void sq_list_add(struct sq_list *list, uint64_t id);
void sq_list_sort(struct sq_list *list); // each id once
bool sq_list_has(const struct sq_list *sorted, uint64_t id);
void sq_list_read(struct sq_call *c, struct sq_list *list,
                  sqlite3_stmt *stmt); // adds the first column of all rows
void sq_list_out(struct sq_call *c, struct sq_list *list, uint64_t **out,
                 size_t *count); // to the caller's arena; frees
void sq_list_free(struct sq_list *list);

// ---- tasks (state_sqlite_task.c)

struct sq_task *sq_task_find(struct sq_call *c, uint64_t id); // NULL: not here
struct sq_task *sq_task_need(struct sq_call *c, uint64_t id); // fails with NOT_FOUND
struct sq_task *sq_task_row(sqlite3_stmt *stmt, struct arena *a);
void sq_task_flush(struct sq_call *c, struct sq_task *t); // moves it on and writes it
void sq_claim_free(struct sq_task *t);                    // nobody's claim holds it up any longer
void sq_task_stop(struct sq_call *c, struct sq_task *t, enum model_outcome outcome, const char *message);
void sq_task_clear(struct sq_call *c, uint64_t task); // forgets its subtasks
// Queues subtasks at the end.
void sq_task_append(struct sq_call *c, struct sq_task *t, const struct state_subtask *subtasks, size_t count);
void sq_task_view(struct sq_call *c, const struct sq_task *t, struct state_view *out); // strings are t's

static inline uint64_t sq_fresh(const struct sq_task *t)
{
    return t->counters.generated + 1 - t->cursor;
}

static inline uint64_t sq_queue_bytes(size_t param_bytes) // as which it counts
{
    return param_bytes >= STATE_PARAM_LARGE ? param_bytes : 0;
}

static inline struct state_queue sq_queue(const struct sq_task *t)
{
    return (struct state_queue){sq_fresh(t), t->queued_bytes};
}

static inline bool sq_task_is_live(const struct sq_task *t)
{
    return t->phase == MODEL_GENERATING || t->phase == MODEL_DRAINING;
}

static inline bool sq_results_full(const struct sq_task *t)
{
    return t->results - t->results_read >= STATE_RESULTS_HIGH;
}

// ---- subtasks (state_sqlite_tile.c)

struct sq_lease { // a leased subtask
    struct sq_task *task;
    struct sq_tile *tile;
    struct sq_subtask *subtask;
    uint64_t seq;
};

static inline uint64_t sq_tile_number(uint64_t seq)
{
    return (seq - 1) / SQ_TILE;
}

struct sq_tile *sq_tile_get(struct sq_call *c, uint64_t task, uint64_t number); // NULL when the call failed
struct sq_subtask *sq_subtask_get(struct sq_call *c, uint64_t task, uint64_t seq, struct sq_tile **tile);
void sq_tile_flush_all(struct sq_call *c);
int64_t sq_tile_retry_ms(const struct sq_tile *tile); // when the first one that waits is ready; CLOCK_NEVER

// False: stale.
bool sq_lease_find(struct sq_call *c, const struct state_ref *ref, struct sq_lease *out);
typedef void (*sq_lease_fn)(struct sq_call *c, const struct sq_lease *lease, void *user);
// Calls fn for all leased subtasks, of one task (0: of all).
void sq_lease_each(struct sq_call *c, uint64_t task, sq_lease_fn fn, void *user);
// Puts a leased one back to be ready at ready_ms; of a task that is stopping, it is cancelled.
void sq_lease_return(struct sq_call *c, const struct sq_lease *l, int64_t ready_ms);

void sq_params_put(struct sq_call *c, uint64_t task, uint64_t first, const struct state_subtask *subtasks,
                   size_t count);
// What to execute; the blob lives in c->out.
bool sq_params_get(struct sq_call *c, struct sq_tile *tile, uint64_t seq, uint32_t *timeout_ms,
                   struct state_blob *param);

// ---- settling (state_sqlite_settle.c)

struct sq_report { // what became of a leased subtask
    enum model_kind kind;
    int32_t code;
    const char *message;
    struct state_blob body;
    int64_t run_us;
};

// The one place where a leased subtask's end is decided and counted.
enum state_verdict sq_settle(struct sq_call *c, const struct sq_lease *l, const struct sq_report *r);

// ---- nodes (state_sqlite_nodes.c)

void sq_node_count(struct sq_call *c, uint64_t node, int running, int settled);
void sq_node_flush_all(struct sq_call *c);
// Of this incarnation, or fails with NOT_FOUND; running, if not NULL: leases it holds.
bool sq_node_find(struct sq_call *c, uint64_t id, uint64_t *running); // as this call has left it so far
bool sq_node_need(struct sq_call *c, uint64_t id);
bool sq_node_has(struct sq_call *c, const struct state_holder *who, uint64_t node); // node is who
int64_t sq_node_next_ms(struct sq_call *c); // the earliest end of a node's lease

// ---- results (state_sqlite_results.c)

// The position of one more. The store may have lost which were given last, before it was opened: they do not
// come again.
uint64_t sq_results_next(const struct sq_call *c, struct sq_task *t);
void sq_results_drop(struct sq_call *c, uint64_t task); // of a removed task, what was left to be read

// ---- the operations, each in the file of its noun; state.h documents them

void sq_close(struct state *s);
void sq_watch(struct state *s, state_watch_fn fn, void *user);
int sq_sync(struct state *s, struct nrpc_status *st);
int sq_check(struct state *s, struct nrpc_status *st);
int sq_lead(struct state *s, const char *duty, uint64_t owner, int64_t now_ms, int64_t until_ms, bool *leads,
            struct nrpc_status *st);
uint64_t sq_incarnation(struct state *s, bool *verified);
int sq_verify(struct state *s, uint64_t incarnation, const uint64_t *but, size_t but_count,
              struct nrpc_status *st);
int sq_marks(struct state *s, struct model_marks *inout, struct nrpc_status *st);
uint64_t sq_identity(struct state *s, const char **where);
void sq_bar(struct state *s, const char *why);
int sq_begin_anew(struct state *s, struct nrpc_status *st);
int sq_rebase(struct state *s, int64_t now_ms, int64_t until_ms, struct nrpc_status *st);
int sq_admit(struct state *s, const struct state_task *tasks, size_t count, struct nrpc_status *st);
int sq_pause(struct state *s, uint64_t task, bool paused, struct nrpc_status *st);
int sq_stop(struct state *s, uint64_t task, enum model_outcome outcome, const char *message,
            struct nrpc_status *st);
int sq_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a, uint64_t **tasks, size_t *count,
               int64_t *next_ms, struct nrpc_status *st);
int sq_in_phase(struct state *s, enum model_phase phase, uint64_t after, size_t max, struct arena *a,
                uint64_t **tasks, size_t *count, struct nrpc_status *st);
int sq_take(struct state *s, enum model_phase phase, int64_t now_ms, int64_t until_ms, size_t max,
            struct arena *a, uint64_t **tasks, size_t *count, struct nrpc_status *st);
int sq_hold(struct state *s, const uint64_t *tasks, size_t count, int64_t until_ms, struct nrpc_status *st);
int sq_close_task(struct state *s, uint64_t task, const char *failure, struct nrpc_status *st);
int sq_blame(struct state *s, uint64_t task, const char *callback, uint64_t *count, struct nrpc_status *st);
int sq_remove(struct state *s, const uint64_t *tasks, size_t count, int64_t results_until_ms,
              struct nrpc_status *st);
int sq_progress(struct state *s, const uint64_t *tasks, size_t count, struct arena *a,
                struct state_progress *out, struct nrpc_status *st);
int sq_expire_results(struct state *s, int64_t now_ms, struct nrpc_status *st);
int sq_points(struct state *s, size_t max, struct arena *a, struct state_point **out, size_t *count,
              struct nrpc_status *st);
int sq_points_recorded(struct state *s, const struct state_point *points, size_t count,
                       struct nrpc_status *st);
int sq_claim(struct state *s, uint64_t owner, int64_t now_ms, int64_t until_ms, size_t max, struct arena *a,
             struct state_claim **out, size_t *count, struct nrpc_status *st);
int sq_renew_claims(struct state *s, uint64_t owner, const uint64_t *tasks, size_t count, int64_t until_ms,
                    struct nrpc_status *st);
int sq_release_claim(struct state *s, uint64_t task, uint64_t fence, int64_t not_before_ms,
                     struct nrpc_status *st);
int sq_push(struct state *s, uint64_t task, uint64_t fence, uint64_t at, const struct state_subtask *subtasks,
            size_t count, struct state_blob checkpoint, bool done, int progress_percent,
            struct state_queue *queue, struct nrpc_status *st);
int sq_feed(struct state *s, uint64_t task, uint64_t at, const struct state_subtask *subtasks, size_t count,
            bool finish, uint64_t *fed, struct nrpc_status *st);
int sq_feeder(struct state *s, uint64_t task, int64_t lease_ms, int64_t heard_ms, struct nrpc_status *st);
int sq_feeders_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a,
                       struct state_feeder **out, size_t *count, struct nrpc_status *st);
int sq_views(struct state *s, int64_t now_ms, uint64_t after, size_t max, struct arena *a,
             struct state_view **out, size_t *count, struct nrpc_status *st);
int sq_lease(struct state *s, int64_t now_ms, struct state_taker *takers, size_t count, struct arena *a,
             struct nrpc_status *st);
int sq_extend(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
              int64_t until_ms, struct nrpc_status *st);
int sq_requeue(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
               enum state_requeue_reason reason, int64_t ready_ms, struct nrpc_status *st);
int sq_sweep(struct state *s, int64_t now_ms, struct arena *a, uint64_t **lost, size_t *lost_count,
             int64_t *next_ms, struct nrpc_status *st);
int sq_holders(struct state *s, uint64_t task, struct arena *a, uint64_t **nodes, size_t *count,
               struct nrpc_status *st);
int sq_peek(struct state *s, const struct state_ref *refs, const struct state_holder *by, size_t count,
            struct arena *a, struct state_peek *out, struct nrpc_status *st);
int sq_settle_batch(struct state *s, int64_t now_ms, const struct state_settle *entries, size_t count,
                    enum state_verdict *verdicts, struct nrpc_status *st);
int sq_results(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
               struct state_result **out, size_t *count, bool *end, struct nrpc_status *st);
int sq_failures(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
                struct state_result **out, size_t *count, struct nrpc_status *st);
int sq_node_add(struct state *s, const struct state_node *node, struct state_holding *holding,
                struct arena *a, uint64_t *id, struct nrpc_status *st);
int sq_node_get(struct state *s, struct state_holder who, struct arena *a, struct state_node *out,
                struct nrpc_status *st);
int sq_node_renew(struct state *s, const struct state_renewal *renewals, size_t count, struct arena *a,
                  uint64_t **lost, size_t *lost_count, struct nrpc_status *st);
int sq_node_grace(struct state *s, int64_t until_ms, struct nrpc_status *st);
int sq_node_note(struct state *s, const struct state_note *notes, size_t count, struct nrpc_status *st);
int sq_node_reconcile(struct state *s, struct state_holder who, struct state_holding *holding,
                      struct arena *a, struct nrpc_status *st);
int sq_node_remove(struct state *s, struct state_holder who, struct nrpc_status *st);
int sq_nodes(struct state *s, struct arena *a, struct state_node **out, size_t *count,
             struct nrpc_status *st);

#endif
