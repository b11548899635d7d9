// SPDX-License-Identifier: Apache-2.0
// records_sqlite_import.c: the SQLite record store: taking over whole tasks from another store.
#include "records/records_check.h"
#include "records/records_sqlite_internal.h"

// Whether the task, or another one in its place, is here: *code is what import answers.
static bool is_here(struct litecall *c, const struct records_task *t, int *code)
{
    struct records_task here;
    bool is_taken = false;
    c->out = &c->scratch;
    sqlite3_stmt *stmt = BIND(c, SQL_TASK_GET, "u", t->id);
    if (litecall_step(c, stmt)) {
        is_taken = true;
        records_sqlite_read_task(c, stmt, &here);
        db_done(stmt);
    } else if (t->idempotency_key && *t->idempotency_key) {
        here = (struct records_task){.id = 0};
        is_taken = litecall_number(c, BIND(c, SQL_TASK_BY_KEY, "t", t->idempotency_key), 0) != 0;
    }
    if (is_taken)
        *code = records_same_task(&here, t) ? NRPC_ALREADY_EXISTS : NRPC_FAILED_PRECONDITION;
    return is_taken;
}

static void add_task(struct litecall *c, const struct records_task *t)
{
    const struct model_counters *n = &t->counters;
    litecall_run(c,
                 BIND(c, SQL_TASK_IMPORT,
                      "uitttttt"
                      "uuiiitut"
                      "buuuuuuuuuu",
                      t->id, (int64_t)t->status, t->name, t->description, t->type, t->creator, t->group,
                      records_message(t->message, &c->scratch), t->creator_uid, (uint64_t)t->priority,
                      t->created_ms, t->deadline_ms, t->finished_ms, t->idempotency_key,
                      (uint64_t)t->stop_asked, records_message(t->stop_message, &c->scratch), t->param.data,
                      t->param.bytes, n->generated, n->succeeded, n->failed, n->timed_out, n->cancelled,
                      n->retried, n->redispatched, n->running, n->queued, (uint64_t)n->generation_done));
}

static void import_one(struct litecall *c, struct records_import *in)
{
    if (is_here(c, &in->task, &in->code))
        return;
    in->code = NRPC_OK;
    add_task(c, &in->task); // its AUTOINCREMENT is above the id now
    for (size_t i = 0; i < in->event_count && !c->code; i++) {
        const struct records_event *e = &in->events[i];
        records_sqlite_add_event(c, in->task.id, e->status, e->message, e->time_ms);
    }
    for (size_t i = 0; i < in->failure_count && !c->code; i++)
        records_sqlite_add_failure(c, in->task.id, &in->failures[i]);
}

int records_sqlite_import(struct records *r, struct records_import *tasks, size_t count,
                          struct nrpc_status *st)
{
    struct litecall c;
    int code = records_check_imports(tasks, count, st);
    if (!code)
        code = litecall_begin(&c, r, DB_DURABLE, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        import_one(&c, &tasks[i]);
    return litecall_end(&c);
}
