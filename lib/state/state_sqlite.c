// SPDX-License-Identifier: Apache-2.0
// state_sqlite.c: the embedded state store: opening it, its operations, and the frame of every call.
#include "state/state_sqlite_internal.h"

#include "base/ids.h"

static const struct state_ops ops = {
    .close = sq_close,
    .watch = sq_watch,
    .sync = sq_sync,
    .check = sq_check,
    .lead = sq_lead,
    .incarnation = sq_incarnation,
    .verify = sq_verify,
    .marks = sq_marks,
    .identity = sq_identity,
    .bar = sq_bar,
    .begin_anew = sq_begin_anew,
    .rebase = sq_rebase,
    .admit = sq_admit,
    .pause = sq_pause,
    .stop = sq_stop,
    .overdue = sq_overdue,
    .in_phase = sq_in_phase,
    .take = sq_take,
    .hold = sq_hold,
    .close_task = sq_close_task,
    .blame = sq_blame,
    .remove = sq_remove,
    .progress = sq_progress,
    .expire_results = sq_expire_results,
    .points = sq_points,
    .points_recorded = sq_points_recorded,
    .claim = sq_claim,
    .renew_claims = sq_renew_claims,
    .release_claim = sq_release_claim,
    .push = sq_push,
    .feed = sq_feed,
    .feeder = sq_feeder,
    .feeders_overdue = sq_feeders_overdue,
    .views = sq_views,
    .lease = sq_lease,
    .requeue = sq_requeue,
    .extend = sq_extend,
    .sweep = sq_sweep,
    .holders = sq_holders,
    .peek = sq_peek,
    .settle = sq_settle_batch,
    .results = sq_results,
    .failures = sq_failures,
    .node_add = sq_node_add,
    .node_get = sq_node_get,
    .node_renew = sq_node_renew,
    .node_grace = sq_node_grace,
    .node_note = sq_node_note,
    .node_reconcile = sq_node_reconcile,
    .node_remove = sq_node_remove,
    .nodes = sq_nodes,
};

struct state *state_sqlite_open(struct db *db)
{
    struct sq_store *store = mem_calloc(1, sizeof *store);
    store->state.ops = &ops;
    store->incarnation = ids_random() >> 1;
    store->opened_ms = clock_wall_ms();
    db_statements_init(&store->sql, db, sq_sql, SQ_SQL_COUNT);
    return &store->state;
}

void sq_close(struct state *s)
{
    struct sq_store *store = (struct sq_store *)s;
    if (!store)
        return;
    db_statements_fini(&store->sql);
    struct sq_taken *taken, *tmp;
    HASH_ITER(hh, store->taken, taken, tmp)
    {
        HASH_DEL(store->taken, taken);
        free(taken);
    }
    free(store);
}

// ---- what a store of one process, that loses nothing, has an easy answer to

void sq_watch(struct state *s, state_watch_fn fn, void *user)
{
    s->watch = fn;
    s->watch_user = user;
}

int sq_sync(struct state *s, struct nrpc_status *st)
{
    return db_sync(((struct sq_store *)s)->sql.db, st);
}

int sq_check(struct state *s, struct nrpc_status *st)
{
    struct sq_call c;
    int code = db_check(((struct sq_store *)s)->sql.db, st);
    if (!code)
        code = sq_begin(&c, s, DB_READ, NULL, st);
    return code ? code : sq_end(&c);
}

int sq_lead(struct state *s, const char *duty, uint64_t owner, int64_t now_ms, int64_t until_ms, bool *leads,
            struct nrpc_status *st)
{
    (void)s, (void)duty, (void)owner, (void)now_ms, (void)until_ms, (void)st;
    *leads = true;
    return NRPC_OK;
}

// State and records are one file: what is recorded is on the disk no earlier than the state before it, and
// numbers are given by both together.
uint64_t sq_incarnation(struct state *s, bool *verified)
{
    *verified = true;
    return ((const struct sq_store *)s)->incarnation;
}

int sq_verify(struct state *s, uint64_t incarnation, const uint64_t *but, size_t but_count,
              struct nrpc_status *st)
{
    (void)s, (void)incarnation, (void)but, (void)but_count, (void)st;
    return NRPC_OK;
}

int sq_marks(struct state *s, struct model_marks *inout, struct nrpc_status *st)
{
    (void)s, (void)inout, (void)st;
    return NRPC_OK;
}

uint64_t sq_identity(struct state *s, const char **where)
{
    *where = "the data folder";
    return ((const struct sq_store *)s)->incarnation;
}

void sq_bar(struct state *s, const char *why)
{
    (void)s, (void)why;
}

int sq_begin_anew(struct state *s, struct nrpc_status *st)
{
    (void)s, (void)st;
    return NRPC_OK;
}

int sq_points(struct state *s, size_t max, struct arena *a, struct state_point **out, size_t *count,
              struct nrpc_status *st)
{
    (void)s, (void)max, (void)a, (void)st;
    *out = NULL;
    *count = 0;
    return NRPC_OK;
}

int sq_points_recorded(struct state *s, const struct state_point *points, size_t count,
                       struct nrpc_status *st)
{
    (void)s, (void)points, (void)count, (void)st;
    return NRPC_OK;
}

// ---- the frame of a call

int sq_begin(struct sq_call *c, struct state *s, enum db_mode mode, struct arena *out, struct nrpc_status *st)
{
    *c = (struct sq_call){.store = (struct sq_store *)s, .st = st};
    int code = db_begin(c->store->sql.db, mode, st);
    if (code)
        return code;
    arena_init(&c->scratch, 0);
    c->out = out ? out : &c->scratch;
    c->now_ms = c->store->now_ms;
    return NRPC_OK;
}

void sq_see_time(struct sq_call *c, int64_t now_ms)
{
    c->now_ms = now_ms;
    if (now_ms > c->store->now_ms)
        c->store->now_ms = now_ms;
}

static void tell(const struct state *s, const struct sq_task *t)
{
    for (unsigned kind = 1; kind < 1u << STATE_HINTS; kind <<= 1)
        if (t->hints & kind) {
            struct state_hint hint = {(enum state_hint_kind)kind, t->id, t->view, t->used_count, t->used_us};
            s->watch(s->watch_user, &hint);
        }
}

static void flush(struct sq_call *c)
{
    sq_tile_flush_all(
        c); // before the tasks: a view counts the retries that are due, and a closed task drops its tiles
    for (struct sq_task *t = c->tasks; t && !c->code; t = t->hh.next)
        if (t->changed)
            sq_task_flush(c, t);
    sq_node_flush_all(c);
}

int sq_end(struct sq_call *c)
{
    if (!c->code)
        flush(c);
    if (c->code)
        db_rollback(c->store->sql.db);
    else
        c->code = db_commit(c->store->sql.db, c->st);
    if (!c->code && c->store->state.watch)
        for (struct sq_task *t = c->tasks; t; t = t->hh.next)
            tell(&c->store->state, t);
    HASH_CLEAR(hh, c->tasks);
    HASH_CLEAR(hh, c->tiles);
    HASH_CLEAR(hh, c->nodes);
    arena_fini(&c->scratch);
    return c->code;
}

bool sq_fail(struct sq_call *c, int code, const char *format, ...)
{
    if (c->code)
        return false;
    va_list args;
    va_start(args, format);
    c->code = status_setv(c->st, code, format, args);
    va_end(args);
    return false;
}

// ---- statements and memory

bool sq_step(struct sq_call *c, sqlite3_stmt *stmt)
{
    if (c->code) {
        db_done(stmt);
        return false;
    }
    int more = db_step(stmt);
    if (more < 0)
        c->code = db_error(c->store->sql.db, "the state store failed", c->st);
    return more > 0;
}

void sq_run(struct sq_call *c, sqlite3_stmt *stmt)
{
    while (sq_step(c, stmt))
        ;
}

void *sq_out(struct sq_call *c, size_t count, size_t size)
{
    if (c->code)
        return NULL;
    void *p = count > SIZE_MAX / size ? NULL : arena_alloc(c->out, count * size);
    if (!p)
        sq_fail(c, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
    return p;
}

const char *sq_out_text(struct sq_call *c, const char *text)
{
    if (!text)
        return NULL;
    size_t bytes = strlen(text) + 1;
    char *copy = sq_out(c, bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void sq_out_blob(struct sq_call *c, sqlite3_stmt *stmt, int column, struct state_blob *out)
{
    *out = (struct state_blob){0};
    if (c->code || sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return;
    out->data = db_blob(stmt, column, c->out, &out->bytes);
    if (!out->data)
        sq_fail(c, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
}

// ---- lists

void sq_list_add(struct sq_list *list, uint64_t id)
{
    mem_grow(&list->ids, &list->capacity, list->count + 1, sizeof *list->ids);
    list->ids[list->count++] = id;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void sq_list_sort(struct sq_list *list)
{
    if (!list->count)
        return;
    qsort(list->ids, list->count, sizeof *list->ids, compare_ids);
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++)
        if (list->ids[i] != list->ids[kept - 1])
            list->ids[kept++] = list->ids[i];
    list->count = kept;
}

bool sq_list_has(const struct sq_list *sorted, uint64_t id)
{
    return sorted->count && bsearch(&id, sorted->ids, sorted->count, sizeof id, compare_ids);
}

void sq_list_read(struct sq_call *c, struct sq_list *list, sqlite3_stmt *stmt)
{
    while (sq_step(c, stmt))
        sq_list_add(list, db_u64(stmt, 0));
}

void sq_list_out(struct sq_call *c, struct sq_list *list, uint64_t **out, size_t *count)
{
    *count = list->count;
    *out = sq_out(c, list->count, sizeof **out);
    if (*out && list->count)
        memcpy(*out, list->ids, list->count * sizeof **out);
    sq_list_free(list);
}

void sq_list_free(struct sq_list *list)
{
    free(list->ids);
    *list = (struct sq_list){0};
}
