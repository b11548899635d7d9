// SPDX-License-Identifier: Apache-2.0
// records_sqlite.c: the record store on the embedded SQLite file: tasks, history, failures, groups.
//
// Nothing is kept in memory.
#include "records/litecall.h"
#include "records/records_check.h"
#include "records/records_sqlite_internal.h"

#include <stdlib.h>

// ---- what is read

void records_sqlite_read_task(struct litecall *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_task *)item = (struct records_task){
        .id = db_u64(stmt, 0),
        .status = (enum model_status)db_i64(stmt, 1),
        .name = litecall_text(c, stmt, 2),
        .description = litecall_text(c, stmt, 3),
        .type = litecall_text(c, stmt, 4),
        .creator = litecall_text(c, stmt, 5),
        .group = litecall_text(c, stmt, 6),
        .message = litecall_text(c, stmt, 7),
        .creator_uid = db_u64(stmt, 8),
        .priority = (uint32_t)db_u64(stmt, 9),
        .created_ms = db_i64(stmt, 10),
        .deadline_ms = db_i64(stmt, 11),
        .finished_ms = db_i64(stmt, 12),
        .counters = litecall_counters(stmt, 13),
        .idempotency_key = litecall_text(c, stmt, 23),
        .stop_asked = db_i64(stmt, 24) != 0,
        .stop_message = litecall_text(c, stmt, 25),
        .param = litecall_blob(c, stmt, 26),
    };
}

static void read_event(struct litecall *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_event *)item = (struct records_event){
        .sequence = db_u64(stmt, 0),
        .task = db_u64(stmt, 1),
        .status = (enum model_status)db_i64(stmt, 2),
        .message = litecall_text(c, stmt, 3),
        .time_ms = db_i64(stmt, 4),
    };
}

static void read_failure(struct litecall *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_failure *)item = (struct records_failure){
        .task = db_u64(stmt, 0),
        .seq = db_u64(stmt, 1),
        .attempt = (uint32_t)db_u64(stmt, 2),
        .kind = (enum model_kind)db_i64(stmt, 3),
        .code = (int32_t)db_i64(stmt, 4),
        .message = litecall_text(c, stmt, 5),
        .run_us = db_i64(stmt, 6),
        .body = litecall_blob(c, stmt, 7),
        .param = litecall_blob(c, stmt, 8),
    };
}

static void read_group(struct litecall *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_group *)item =
        (struct records_group){litecall_text(c, stmt, 0), (uint32_t)db_u64(stmt, 1)};
}

// ---- operations

uint64_t records_sqlite_add_event(struct litecall *c, uint64_t task, enum model_status status,
                                  const char *message, int64_t time_ms)
{
    message = records_message(message, &c->scratch);
    return litecall_number(c, BIND(c, SQL_EVENT_INSERT, "uiti", task, (int64_t)status, message, time_ms), 0);
}

void records_sqlite_add_failure(struct litecall *c, uint64_t task, const struct records_failure *f)
{
    const char *message = records_message(f->message, &c->scratch);
    litecall_run(c, BIND(c, SQL_FAILURE_INSERT, "uuuiitibb", task, f->seq, (uint64_t)f->attempt,
                         (int64_t)f->kind, (int64_t)f->code, message, f->run_us, f->body.data, f->body.bytes,
                         f->param.data, f->param.bytes));
}

static void create_one(struct litecall *c, struct records_new_task *t)
{
    bool has_key = t->idempotency_key && *t->idempotency_key;
    t->id = has_key ? litecall_number(c, BIND(c, SQL_TASK_BY_KEY, "t", t->idempotency_key), 0) : 0;
    t->existed = t->id != 0;
    t->sequence = 0;
    if (t->existed)
        return;
    t->id = litecall_number(c,
                            BIND(c, SQL_TASK_INSERT, "tttttuutiiib", t->name, t->description, t->type,
                                 t->creator, t->group, t->creator_uid, (uint64_t)t->priority,
                                 t->idempotency_key, t->created_ms, t->deadline_ms, (int64_t)MODEL_RUNNING,
                                 t->param.data, t->param.bytes),
                            0);
    t->sequence = records_sqlite_add_event(c, t->id, MODEL_RUNNING, NULL, t->created_ms);
}

static int records_create(struct records *r, struct records_new_task *tasks, size_t count,
                          struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_new(tasks, count, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        create_one(&c, &tasks[i]);
    return litecall_end(&c);
}

static void set_status(struct litecall *c, const struct records_change *ch)
{
    static const struct model_counters none;
    const struct model_counters *n = ch->counters ? ch->counters : &none;
    const char *message = records_message(ch->message, &c->scratch);
    if (!model_status_is_terminal(ch->status)) {
        litecall_run(c, BIND(c, SQL_TASK_SET_STATUS, "uit", ch->task, (int64_t)ch->status, message));
        return;
    }
    litecall_run(c, BIND(c, SQL_TASK_FINISH, "uitiuuuuuuuuuu", ch->task, (int64_t)ch->status, message,
                         ch->now_ms, n->generated, n->succeeded, n->failed, n->timed_out, n->cancelled,
                         n->retried, n->redispatched, n->running, n->queued, (uint64_t)n->generation_done));
    litecall_run(c, BIND(c, SQL_RESUME_FORGET, "u", ch->task));
    litecall_run(c, BIND(c, SQL_FED_FORGET, "u", ch->task));
}

static struct records_brief read_brief(struct litecall *c, uint64_t task)
{
    struct records_brief b = {0};
    sqlite3_stmt *stmt = BIND(c, SQL_TASK_BRIEF, "u", task);
    if (litecall_step(c, stmt))
        b = (struct records_brief){(enum model_status)db_i64(stmt, 0), db_i64(stmt, 1)};
    db_done(stmt);
    return b;
}

// Whether the failures that are recorded are not those that the end counts: who admits a task again drops
// those it had, and some may have been put after that.
static bool failures_differ(struct litecall *c, const struct records_change *ch)
{
    return ch->with_failures && ch->counters &&
           litecall_number(c, BIND(c, SQL_FAILURE_COUNT, "u", ch->task), 0) !=
               ch->counters->failed + ch->counters->timed_out;
}

static void change_one(struct litecall *c, struct records_change *ch)
{
    struct records_brief now = read_brief(c, ch->task);
    enum model_status before = now.status;
    bool meant = !ch->born_ms || ch->born_ms == now.created_ms;
    enum model_status after = meant ? model_status_after(before, ch->event) : 0;
    ch->sequence = 0;
    ch->code = after ? NRPC_OK : before ? NRPC_FAILED_PRECONDITION : NRPC_NOT_FOUND;
    if (after && after != before && failures_differ(c, ch)) {
        ch->code = NRPC_ABORTED;
        after = before;
    }
    ch->changed = after && after != before;
    ch->status = after ? after : before;
    if (!ch->changed)
        return;
    set_status(c, ch);
    ch->sequence = records_sqlite_add_event(c, ch->task, ch->status, ch->message, ch->now_ms);
}

static int records_change(struct records *r, struct records_change *changes, size_t count,
                          struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_changes(changes, count, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        change_one(&c, &changes[i]);
    return litecall_end(&c);
}

static int records_briefs(struct records *r, const uint64_t *ids, size_t count, struct records_brief *out,
                          struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++)
        out[i] = read_brief(&c, ids[i]);
    return litecall_end(&c);
}

static int records_get(struct records *r, uint64_t id, struct arena *a, struct records_task *out,
                       struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    sqlite3_stmt *stmt = BIND(&c, SQL_TASK_GET, "u", id);
    if (litecall_step(&c, stmt)) {
        records_sqlite_read_task(&c, stmt, out);
        db_done(stmt);
    } else if (!c.code) {
        c.code = status_set(st, NRPC_NOT_FOUND, "there is no task %llu", (unsigned long long)id);
    }
    return litecall_end(&c);
}

static int records_list(struct records *r, enum model_status status, uint64_t before_id, size_t max,
                        struct arena *a, struct records_task **out, size_t *count, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    uint64_t before = litecall_clamp(before_id ? before_id : UINT64_MAX);
    sqlite3_stmt *stmt =
        status ? BIND(&c, SQL_TASK_LIST_STATUS, "uui", before, litecall_clamp(max), (int64_t)status)
               : BIND(&c, SQL_TASK_LIST, "uu", before, litecall_clamp(max));
    litecall_rows(&c, stmt, sizeof **out, records_sqlite_read_task, out, count);
    return litecall_end(&c);
}

static int records_unfinished(struct records *r, uint64_t after, size_t max, struct arena *a,
                              struct records_task **out, size_t *count, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    litecall_rows(&c, BIND(&c, SQL_TASK_UNFINISHED, "uu", litecall_clamp(after), litecall_clamp(max)),
                  sizeof **out, records_sqlite_read_task, out, count);
    return litecall_end(&c);
}

static int records_events(struct records *r, uint64_t after, uint64_t task, size_t max, struct arena *a,
                          struct records_event **out, size_t *count, uint64_t *first_kept,
                          struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    sqlite3_stmt *stmt =
        task ? BIND(&c, SQL_EVENT_AFTER_OF, "uuu", litecall_clamp(after), litecall_clamp(max), task)
             : BIND(&c, SQL_EVENT_AFTER, "uu", litecall_clamp(after), litecall_clamp(max));
    litecall_rows(&c, stmt, sizeof **out, read_event, out, count);
    uint64_t next = litecall_number(&c, BIND(&c, SQL_EVENT_LAST, ""), 0) + 1;
    *first_kept = litecall_number(&c, BIND(&c, SQL_EVENT_OLDEST, ""), next);
    return litecall_end(&c);
}

static int records_put_failures(struct records *r, const struct records_failure *failures, size_t count,
                                bool imported, struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_failures(failures, count, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    bool takes = false;
    for (size_t i = 0; i < count && !c.code; i++) {
        if (!i || failures[i].task != failures[i - 1].task)
            takes = imported || !model_status_is_terminal(read_brief(&c, failures[i].task).status);
        if (takes)
            records_sqlite_add_failure(&c, failures[i].task, &failures[i]);
    }
    return litecall_end(&c);
}

static int records_failures(struct records *r, uint64_t task, uint64_t after_seq, size_t max, struct arena *a,
                            struct records_failure **out, size_t *count, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    litecall_rows(&c,
                  BIND(&c, SQL_FAILURE_AFTER, "uuu", task, litecall_clamp(after_seq), litecall_clamp(max)),
                  sizeof **out, read_failure, out, count);
    return litecall_end(&c);
}

static int records_set_group(struct records *r, const char *name, uint32_t quota, struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_group(name, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    litecall_run(&c, BIND(&c, SQL_GROUP_SET, "tu", name, (uint64_t)quota));
    return litecall_end(&c);
}

static int records_groups(struct records *r, struct arena *a, struct records_group **out, size_t *count,
                          struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    litecall_rows(&c, BIND(&c, SQL_GROUP_LIST, ""), sizeof **out, read_group, out, count);
    return litecall_end(&c);
}

// Both reasons to forget a task take those that ended first, so the larger of two numbers says how many go.
static uint64_t tasks_to_forget(struct litecall *c, int64_t finished_before_ms, uint64_t keep_tasks,
                                size_t max)
{
    uint64_t old = litecall_number(c, BIND(c, SQL_TASK_ENDED_BEFORE, "i", finished_before_ms), 0);
    uint64_t ended = litecall_number(c, BIND(c, SQL_TASK_ENDED_COUNT, ""), 0);
    uint64_t surplus = ended > keep_tasks ? ended - keep_tasks : 0;
    uint64_t n = old > surplus ? old : surplus;
    return n < max ? n : max;
}

static size_t forget_first(struct litecall *c, uint64_t count)
{
    uint64_t *ids = mem_alloc(count * sizeof *ids);
    size_t n = 0;
    sqlite3_stmt *stmt = BIND(c, SQL_TASK_ENDED_FIRST, "u", count);
    while (litecall_step(c, stmt))
        ids[n++] = db_u64(stmt, 0);
    for (size_t i = 0; i < n; i++) {
        litecall_run(c, BIND(c, SQL_EVENT_FORGET, "u", ids[i]));
        litecall_run(c, BIND(c, SQL_FAILURE_FORGET, "u", ids[i]));
        litecall_run(c, BIND(c, SQL_TASK_DELETE, "u", ids[i]));
    }
    free(ids);
    return n;
}

static int records_trim(struct records *r, int64_t finished_before_ms, uint64_t keep_tasks,
                        uint64_t keep_events, size_t max, size_t *removed, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    *removed = forget_first(&c, tasks_to_forget(&c, finished_before_ms, keep_tasks, max));
    uint64_t last = litecall_number(&c, BIND(&c, SQL_EVENT_LAST, ""), 0);
    if (last > keep_events)
        litecall_run(&c, BIND(&c, SQL_EVENT_TRIM, "u", last - keep_events));
    return litecall_end(&c);
}

// ---- opening

static void records_close(struct records *r)
{
    struct litestore *store = (struct litestore *)r;
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
    .briefs = records_briefs,
    .list = records_list,
    .unfinished = records_unfinished,
    .events = records_events,
    .put_failures = records_put_failures,
    .failures = records_failures,
    .drop_failures = records_sqlite_drop_failures,
    .set_group = records_set_group,
    .groups = records_groups,
    .trim = records_trim,
    .next_ids = records_sqlite_next_ids,
    .marks = records_sqlite_marks,
    .installation = records_sqlite_installation,
    .tenure = records_sqlite_tenure,
    .clock = records_sqlite_clock,
    .check = records_sqlite_check,
    .ask_stop = records_sqlite_ask_stop,
    .save_resumes = records_sqlite_save_resumes,
    .resumes = records_sqlite_resumes,
    .put_fed = records_sqlite_put_fed,
    .fed = records_sqlite_fed,
    .import = records_sqlite_import,
};

struct records *records_sqlite_open(struct db *db)
{
    struct litestore *store = mem_calloc(1, sizeof *store);
    store->records.ops = &ops;
    db_statements_init(&store->sql, db, records_sql, SQL_COUNT);
    return &store->records;
}
