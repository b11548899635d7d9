// SPDX-License-Identifier: Apache-2.0
// records_sqlite_resume.c: the SQLite record store: resume points, fed subtasks, asked stops, ids.
#include "base/clock.h"
#include "base/ids.h"
#include "records/records_check.h"
#include "records/records_sqlite_internal.h"

// ---- ids, health

int records_sqlite_next_ids(struct records *r, const char *name, uint64_t count, uint64_t *first,
                            struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_ids(name, count, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    uint64_t taken = litecall_number(&c, BIND(&c, SQL_COUNTER_TAKE, "tu", name, count), 0);
    code = litecall_end(&c);
    if (!code)
        *first = taken;
    return code;
}

static uint64_t mark(struct litecall *c, const char *name, uint64_t least)
{
    uint64_t was = litecall_number(c, BIND(c, SQL_MARK_GET, "t", name), 0);
    if (was < least)
        litecall_run(c, BIND(c, was ? SQL_MARK_RAISE : SQL_MARK_PUT, "tu", name, least));
    return was;
}

// Numbers of nodes are given by the state, which is in the same file.
int records_sqlite_marks(struct records *r, const struct model_marks *least, struct model_marks *were,
                         struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    *were = (struct model_marks){mark(&c, "tbl_task", least->task), mark(&c, "tbl_task_event", least->event),
                                 least->node};
    return litecall_end(&c);
}

int records_sqlite_installation(struct records *r, uint64_t *id, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    litecall_run(&c, BIND(&c, SQL_INSTALLATION_PUT, "u", (ids_random() >> 1) | 1));
    *id = litecall_number(&c, BIND(&c, SQL_INSTALLATION_GET, ""), 0);
    return litecall_end(&c);
}

// The state is in the same file, which one process has open.
int records_sqlite_tenure(struct records *r, struct records_tenure *t, struct nrpc_status *st)
{
    (void)r, (void)st;
    t->is_taken = false;
    return NRPC_OK;
}

int records_sqlite_clock(struct records *r, int64_t *now_ms, struct nrpc_status *st)
{
    (void)r, (void)st;
    *now_ms = clock_wall_ms();
    return NRPC_OK;
}

int records_sqlite_check(struct records *r, struct nrpc_status *st)
{
    struct litecall c;
    int code = db_check(((struct litestore *)r)->sql.db, st);
    if (!code)
        code = litecall_begin(&c, r, DB_READ, NULL, st);
    if (code)
        return code;
    litecall_run(&c, BIND(&c, SQL_CHECK, ""));
    return litecall_end(&c);
}

// ---- unfinished tasks

static void must_be_unfinished(struct litecall *c, uint64_t task, int code_if_ended)
{
    enum model_status status = (enum model_status)litecall_number(c, BIND(c, SQL_TASK_STATUS, "u", task), 0);
    if (c->code)
        return;
    if (!status)
        c->code = status_set(c->st, NRPC_NOT_FOUND, "there is no task %llu", (unsigned long long)task);
    else if (model_status_is_terminal(status))
        c->code = status_set(c->st, code_if_ended, "task %llu is %s", (unsigned long long)task,
                             model_status_name(status));
}

int records_sqlite_drop_failures(struct records *r, uint64_t task, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    must_be_unfinished(&c, task, NRPC_FAILED_PRECONDITION);
    if (!c.code)
        litecall_run(&c, BIND(&c, SQL_FAILURE_DROP, "u", task));
    return litecall_end(&c);
}

int records_sqlite_ask_stop(struct records *r, uint64_t task, const char *message, int64_t now_ms,
                            struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_message(message, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    must_be_unfinished(&c, task, NRPC_FAILED_PRECONDITION);
    message = records_message(message, &c.scratch);
    litecall_run(&c, BIND(&c, SQL_TASK_ASK_STOP, "uit", task, now_ms, message));
    return litecall_end(&c);
}

// ---- resume points

static void save_resume(struct litecall *c, const struct records_resume *p)
{
    const struct model_counters *n = &p->counters;
    const void *checkpoint = !p->has_checkpoint ? NULL : p->checkpoint.data ? p->checkpoint.data : "";
    litecall_run(c, BIND(c, SQL_RESUME_SAVE, "uubiuuuuuuuuuu", p->task, p->made, checkpoint,
                         p->checkpoint.bytes, (int64_t)p->progress_percent, n->generated, n->succeeded,
                         n->failed, n->timed_out, n->cancelled, n->retried, n->redispatched, n->running,
                         n->queued, (uint64_t)n->generation_done));
    litecall_run(c, BIND(c, SQL_FED_SETTLED, "u", p->task));
}

int records_sqlite_save_resumes(struct records *r, const struct records_resume *points, size_t count,
                                struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_resumes(points, count, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        save_resume(&c, &points[i]);
    return litecall_end(&c);
}

static void read_resume(struct litecall *c, uint64_t task, struct records_resume *out)
{
    *out = (struct records_resume){.task = task};
    sqlite3_stmt *stmt = BIND(c, SQL_RESUME_GET, "u", task);
    if (!litecall_step(c, stmt))
        return;
    out->found = true;
    out->made = db_u64(stmt, 0);
    out->checkpoint = litecall_blob(c, stmt, 1);
    out->has_checkpoint = out->checkpoint.data != NULL;
    out->progress_percent = (int)db_i64(stmt, 2);
    out->counters = litecall_counters(stmt, 3);
    db_done(stmt);
}

int records_sqlite_resumes(struct records *r, const uint64_t *tasks, size_t count, struct arena *a,
                           struct records_resume *out, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        read_resume(&c, tasks[i], &out[i]);
    return litecall_end(&c);
}

// ---- fed subtasks

int records_sqlite_put_fed(struct records *r, uint64_t task, uint64_t at, uint64_t count, bool finish,
                           struct records_blob packed, struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_fed(at, count, packed, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    must_be_unfinished(&c, task, NRPC_NOT_FOUND);
    litecall_run(
        &c, BIND(&c, SQL_FED_PUT, "uuuub", task, at, count, (uint64_t)finish, packed.data, packed.bytes));
    return litecall_end(&c);
}

static void read_fed(struct litecall *c, sqlite3_stmt *stmt, void *item)
{
    *(struct records_fed *)item = (struct records_fed){db_u64(stmt, 0), db_u64(stmt, 1), db_u64(stmt, 2) != 0,
                                                       litecall_blob(c, stmt, 3)};
}

int records_sqlite_fed(struct records *r, uint64_t task, uint64_t after_at, size_t max, struct arena *a,
                       struct records_fed **out, size_t *count, struct nrpc_status *st)
{
    struct litecall c;
    int code = litecall_begin(&c, r, DB_READ, a, st);
    if (code)
        return code;
    sqlite3_stmt *stmt = BIND(&c, SQL_FED_AFTER, "uuu", task, litecall_clamp(after_at), litecall_clamp(max));
    litecall_rows(&c, stmt, sizeof **out, read_fed, out, count);
    return litecall_end(&c);
}
