// SPDX-License-Identifier: Apache-2.0
// records_sqlite.c: the record store on the embedded SQLite file.
//
// Every operation is one struct call: begin takes the connection, end commits (waiting for the disk, if it
// wrote) and frees it. The first failure sticks: later steps do nothing, end rolls back and returns it.
// Nothing is kept in memory.
#include "embedded/db_internal.h"
#include "records/records_sqlite_internal.h"

#include <stdlib.h>
#include <string.h>

struct store {
    struct records records; // first: the interface's pointer is ours
    struct db_statements sql;
};

// ---- the frame of a call

struct call {
    struct store *store;
    struct arena *out; // the caller's; NULL if nothing is read
    struct nrpc_status *st;
    int code;
};

static int begin(struct call *c, struct records *r, enum db_mode mode, struct arena *out,
                 struct nrpc_status *st)
{
    *c = (struct call){.store = (struct store *)r, .out = out, .st = st};
    return db_begin(c->store->sql.db, mode, st);
}

static int end(struct call *c)
{
    if (!c->code)
        return db_commit(c->store->sql.db, c->st);
    db_rollback(c->store->sql.db);
    return c->code;
}

#define BIND(c, index, ...) db_bind(&(c)->store->sql, index, __VA_ARGS__)

// True with a row; false at the end, and after a failure.
static bool step(struct call *c, sqlite3_stmt *stmt)
{
    if (c->code) {
        db_done(stmt);
        return false;
    }
    int more = db_step(stmt);
    if (more < 0)
        c->code = db_error(c->store->sql.db, "the record store failed", c->st);
    return more > 0;
}

static void run(struct call *c, sqlite3_stmt *stmt)
{
    while (step(c, stmt))
        ;
}

// The one number that a statement gives, or `none`.
static uint64_t number(struct call *c, sqlite3_stmt *stmt, uint64_t none)
{
    uint64_t n = none;
    if (step(c, stmt)) {
        if (sqlite3_column_type(stmt, 0) != SQLITE_NULL)
            n = db_u64(stmt, 0);
        db_done(stmt);
    }
    return n;
}

// ---- what is read

static void *room(struct call *c, void *p)
{
    if (!p && !c->code)
        c->code = status_set(c->st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
    return p;
}

static const char *text(struct call *c, sqlite3_stmt *stmt, int column)
{
    bool is_null = sqlite3_column_type(stmt, column) == SQLITE_NULL;
    return is_null ? NULL : room(c, (char *)db_text(stmt, column, c->out));
}

static struct records_blob blob(struct call *c, sqlite3_stmt *stmt, int column)
{
    struct records_blob b = {0};
    if (sqlite3_column_type(stmt, column) != SQLITE_NULL)
        b.data = room(c, (void *)db_blob(stmt, column, c->out, &b.bytes));
    return b;
}

// Reads all rows of a statement, each by `read`, into an array in the caller's arena.
static void read_rows(struct call *c, sqlite3_stmt *stmt, size_t item_bytes,
                      void (*read)(struct call *, sqlite3_stmt *, void *), void *out, size_t *count)
{
    unsigned char *items = NULL;
    size_t capacity = 0, n = 0, before = c->out->used_bytes;
    while (c->out->used_bytes - before < RECORDS_BATCH_BYTES && step(c, stmt)) {
        mem_grow(&items, &capacity, n + 1, item_bytes);
        read(c, stmt, items + n++ * item_bytes);
    }
    db_done(stmt);
    void *copy = c->code ? NULL : room(c, arena_dup(c->out, items, n * item_bytes));
    memcpy(out, &copy, sizeof copy);
    *count = c->code ? 0 : n;
    free(items);
}

static struct model_counters read_counters(sqlite3_stmt *stmt, int column)
{
    struct model_counters n = {0};
    uint64_t *const places[] = {&n.generated, &n.succeeded,    &n.failed,  &n.timed_out, &n.cancelled,
                                &n.retried,   &n.redispatched, &n.running, &n.queued};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        *places[i] = db_u64(stmt, column++);
    n.generation_done = db_u64(stmt, column);
    return n;
}

static void read_task(struct call *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_task *)item = (struct records_task){
        .id = db_u64(stmt, 0),
        .status = (enum model_status)db_i64(stmt, 1),
        .name = text(c, stmt, 2),
        .description = text(c, stmt, 3),
        .type = text(c, stmt, 4),
        .creator = text(c, stmt, 5),
        .group = text(c, stmt, 6),
        .message = text(c, stmt, 7),
        .creator_uid = db_u64(stmt, 8),
        .priority = (uint32_t)db_u64(stmt, 9),
        .created_ms = db_i64(stmt, 10),
        .deadline_ms = db_i64(stmt, 11),
        .finished_ms = db_i64(stmt, 12),
        .counters = read_counters(stmt, 13),
        .param = blob(c, stmt, 23),
    };
}

static void read_event(struct call *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_event *)item = (struct records_event){
        .sequence = db_u64(stmt, 0),
        .task = db_u64(stmt, 1),
        .status = (enum model_status)db_i64(stmt, 2),
        .message = text(c, stmt, 3),
        .time_ms = db_i64(stmt, 4),
    };
}

static void read_failure(struct call *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_failure *)item = (struct records_failure){
        .task = db_u64(stmt, 0),
        .seq = db_u64(stmt, 1),
        .attempt = (uint32_t)db_u64(stmt, 2),
        .kind = (enum model_kind)db_i64(stmt, 3),
        .code = (int32_t)db_i64(stmt, 4),
        .message = text(c, stmt, 5),
        .run_us = db_i64(stmt, 6),
        .body = blob(c, stmt, 7),
        .param = blob(c, stmt, 8),
    };
}

static void read_group(struct call *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_group *)item = (struct records_group){text(c, stmt, 0), (uint32_t)db_u64(stmt, 1)};
}

// Numbers from outside, as far as SQLite can count. No id or sequence gets near it.
static uint64_t clamp(uint64_t n)
{
    return n < INT64_MAX ? n : INT64_MAX;
}

// ---- operations

static uint64_t insert_event(struct call *c, uint64_t task, enum model_status status, const char *message,
                             int64_t now_ms)
{
    return number(c, BIND(c, SQL_EVENT_INSERT, "uiti", task, (int64_t)status, message, now_ms), 0);
}

static void create_one(struct call *c, struct records_new_task *t)
{
    bool has_key = t->idempotency_key && *t->idempotency_key;
    t->id = has_key ? number(c, BIND(c, SQL_TASK_BY_KEY, "t", t->idempotency_key), 0) : 0;
    t->existed = t->id != 0;
    t->sequence = 0;
    if (t->existed)
        return;
    t->id = number(c,
                   BIND(c, SQL_TASK_INSERT, "tttttuutiiib", t->name, t->description, t->type, t->creator,
                        t->group, t->creator_uid, (uint64_t)t->priority, t->idempotency_key, t->created_ms,
                        t->deadline_ms, (int64_t)MODEL_RUNNING, t->param.data, t->param.bytes),
                   0);
    t->sequence = insert_event(c, t->id, MODEL_RUNNING, NULL, t->created_ms);
}

static int records_create(struct records *r, struct records_new_task *tasks, size_t count,
                          struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        create_one(&c, &tasks[i]);
    return end(&c);
}

static void set_status(struct call *c, const struct records_change *ch)
{
    static const struct model_counters none;
    const struct model_counters *n = ch->counters ? ch->counters : &none;
    if (model_status_is_terminal(ch->status))
        run(c, BIND(c, SQL_TASK_FINISH, "uitiuuuuuuuuuu", ch->task, (int64_t)ch->status, ch->message,
                    ch->now_ms, n->generated, n->succeeded, n->failed, n->timed_out, n->cancelled, n->retried,
                    n->redispatched, n->running, n->queued, (uint64_t)n->generation_done));
    else
        run(c, BIND(c, SQL_TASK_SET_STATUS, "uit", ch->task, (int64_t)ch->status, ch->message));
}

static void change_one(struct call *c, struct records_change *ch)
{
    enum model_status before = (enum model_status)number(c, BIND(c, SQL_TASK_STATUS, "u", ch->task), 0);
    enum model_status after = model_status_after(before, ch->event);
    ch->sequence = 0;
    ch->code = after ? NRPC_OK : before ? NRPC_FAILED_PRECONDITION : NRPC_NOT_FOUND;
    ch->changed = after && after != before;
    ch->status = after ? after : before;
    if (!ch->changed)
        return;
    set_status(c, ch);
    ch->sequence = insert_event(c, ch->task, ch->status, ch->message, ch->now_ms);
}

static int records_change(struct records *r, struct records_change *changes, size_t count,
                          struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        change_one(&c, &changes[i]);
    return end(&c);
}

static int records_get(struct records *r, uint64_t id, struct arena *a, struct records_task *out,
                       struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    sqlite3_stmt *stmt = BIND(&c, SQL_TASK_GET, "u", id);
    if (step(&c, stmt)) {
        read_task(&c, stmt, out);
        db_done(stmt);
    } else if (!c.code) {
        c.code = status_set(st, NRPC_NOT_FOUND, "there is no task %llu", (unsigned long long)id);
    }
    return end(&c);
}

static int records_list(struct records *r, enum model_status status, uint64_t before_id, size_t max,
                        struct arena *a, struct records_task **out, size_t *count, struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    uint64_t before = clamp(before_id ? before_id : UINT64_MAX);
    sqlite3_stmt *stmt = status ? BIND(&c, SQL_TASK_LIST_STATUS, "uui", before, clamp(max), (int64_t)status)
                                : BIND(&c, SQL_TASK_LIST, "uu", before, clamp(max));
    read_rows(&c, stmt, sizeof **out, read_task, out, count);
    return end(&c);
}

static int records_unfinished(struct records *r, uint64_t after, size_t max, struct arena *a,
                              struct records_task **out, size_t *count, struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    read_rows(&c, BIND(&c, SQL_TASK_UNFINISHED, "uu", clamp(after), clamp(max)), sizeof **out, read_task, out,
              count);
    return end(&c);
}

static int records_events(struct records *r, uint64_t after, uint64_t task, size_t max, struct arena *a,
                          struct records_event **out, size_t *count, uint64_t *first_kept,
                          struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    sqlite3_stmt *stmt = task ? BIND(&c, SQL_EVENT_AFTER_OF, "uuu", clamp(after), clamp(max), task)
                              : BIND(&c, SQL_EVENT_AFTER, "uu", clamp(after), clamp(max));
    read_rows(&c, stmt, sizeof **out, read_event, out, count);
    uint64_t next = number(&c, BIND(&c, SQL_EVENT_LAST, ""), 0) + 1;
    *first_kept = number(&c, BIND(&c, SQL_EVENT_OLDEST, ""), next);
    return end(&c);
}

static int records_put_failures(struct records *r, const struct records_failure *failures, size_t count,
                                struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++) {
        const struct records_failure *f = &failures[i];
        run(&c, BIND(&c, SQL_FAILURE_INSERT, "uuuiitibb", f->task, f->seq, (uint64_t)f->attempt,
                     (int64_t)f->kind, (int64_t)f->code, f->message, f->run_us, f->body.data, f->body.bytes,
                     f->param.data, f->param.bytes));
    }
    return end(&c);
}

static int records_failures(struct records *r, uint64_t task, uint64_t after_seq, size_t max, struct arena *a,
                            struct records_failure **out, size_t *count, struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    read_rows(&c, BIND(&c, SQL_FAILURE_AFTER, "uuu", task, clamp(after_seq), clamp(max)), sizeof **out,
              read_failure, out, count);
    return end(&c);
}

static int records_set_group(struct records *r, const char *name, uint32_t quota, struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    run(&c, BIND(&c, SQL_GROUP_SET, "tu", name, (uint64_t)quota));
    return end(&c);
}

static int records_groups(struct records *r, struct arena *a, struct records_group **out, size_t *count,
                          struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    read_rows(&c, BIND(&c, SQL_GROUP_LIST, ""), sizeof **out, read_group, out, count);
    return end(&c);
}

// Both reasons to forget a task take those that ended first, so the larger of two numbers says how many go.
static uint64_t tasks_to_forget(struct call *c, int64_t finished_before_ms, uint64_t keep_tasks, size_t max)
{
    uint64_t old = number(c, BIND(c, SQL_TASK_ENDED_BEFORE, "i", finished_before_ms), 0);
    uint64_t ended = number(c, BIND(c, SQL_TASK_ENDED_COUNT, ""), 0);
    uint64_t surplus = ended > keep_tasks ? ended - keep_tasks : 0;
    uint64_t n = old > surplus ? old : surplus;
    return n < max ? n : max;
}

static size_t forget_first(struct call *c, uint64_t count)
{
    uint64_t *ids = mem_alloc(count * sizeof *ids);
    size_t n = 0;
    sqlite3_stmt *stmt = BIND(c, SQL_TASK_ENDED_FIRST, "u", count);
    while (step(c, stmt))
        ids[n++] = db_u64(stmt, 0);
    for (size_t i = 0; i < n; i++) {
        run(c, BIND(c, SQL_EVENT_FORGET, "u", ids[i]));
        run(c, BIND(c, SQL_FAILURE_FORGET, "u", ids[i]));
        run(c, BIND(c, SQL_TASK_DELETE, "u", ids[i]));
    }
    free(ids);
    return n;
}

static int records_trim(struct records *r, int64_t finished_before_ms, uint64_t keep_tasks,
                        uint64_t keep_events, size_t max, size_t *removed, struct nrpc_status *st)
{
    struct call c;
    int code = begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    *removed = forget_first(&c, tasks_to_forget(&c, finished_before_ms, keep_tasks, max));
    uint64_t last = number(&c, BIND(&c, SQL_EVENT_LAST, ""), 0);
    if (last > keep_events)
        run(&c, BIND(&c, SQL_EVENT_TRIM, "u", last - keep_events));
    return end(&c);
}

// ---- opening

static void records_close(struct records *r)
{
    struct store *store = (struct store *)r;
    if (!store)
        return;
    db_statements_fini(&store->sql);
    free(store);
}

static const struct records_ops ops = {
    .close = records_close,
    .create = records_create,
    .change = records_change,
    .get = records_get,
    .list = records_list,
    .unfinished = records_unfinished,
    .events = records_events,
    .put_failures = records_put_failures,
    .failures = records_failures,
    .set_group = records_set_group,
    .groups = records_groups,
    .trim = records_trim,
};

struct records *records_sqlite_open(struct db *db)
{
    struct store *store = mem_calloc(1, sizeof *store);
    store->records.ops = &ops;
    db_statements_init(&store->sql, db, records_sql, SQL_COUNT);
    return &store->records;
}
