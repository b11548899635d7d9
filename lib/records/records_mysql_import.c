// SPDX-License-Identifier: Apache-2.0
// records_mysql_import.c: the MySQL record store: taking over whole tasks from another store.
#include "records/records_mysql_internal.h"

struct import {
    struct records_import *tasks;
    size_t count;
};

// Whether the task, or another one in its place, is here: *code is what import answers.
static bool is_here(struct mycall *c, const struct records_task *t, int *code)
{
    struct records_task here = {.id = 0};
    bool is_taken = records_mysql_read_one(c, t->id, &here);
    if (!is_taken && t->idempotency_key && *t->idempotency_key)
        is_taken = mycall_number(c, 0, "SELECT id FROM tbl_task WHERE idempotency_key = $t",
                                 t->idempotency_key) != 0;
    if (is_taken)
        *code = records_same_task(&here, t) ? NRPC_ALREADY_EXISTS : NRPC_FAILED_PRECONDITION;
    return is_taken;
}

static void add_task(struct mycall *c, const struct records_task *t)
{
    const struct model_counters *n = &t->counters;
    bool ended = model_status_is_terminal(t->status);
    int64_t cost_s = ended ? (t->finished_ms - t->created_ms + 500) / 1000 : 0;
    mycall_run(
        c,
        "INSERT INTO tbl_task(id, task_status, name, description, task_type, creator, resource_group, "
        "message, uid, priority, start_time, deadline, finish_time, idempotency_key, stop_message, "
        "param, next_check_time, time_cost, generated, succeeded, failed, timed_out, cancelled, "
        "retried, redispatched, running, queued, generation_done, stop_asked) "
        "VALUES($u,$i,$e,$e,$e,$e,$e,$m,$u,$u,$i,$i,$i,$k,$m,$b,$i,$i,$u,$u,$u,$u,$u,$u,$u,$u,$u,$u,$s)",
        t->id, (int64_t)t->status, t->name, t->description, t->type, t->creator, t->group, t->message,
        t->creator_uid, (uint64_t)t->priority, t->created_ms, t->deadline_ms, t->finished_ms,
        t->idempotency_key, t->stop_message, t->param.data, t->param.bytes,
        ended ? (int64_t)0 : t->deadline_ms, cost_s, n->generated, n->succeeded, n->failed, n->timed_out,
        n->cancelled, n->retried, n->redispatched, n->running, n->queued, (uint64_t)n->generation_done,
        t->stop_asked ? "0" : "NULL");
}

static void import_one(struct mycall *c, struct records_import *in)
{
    if (is_here(c, &in->task, &in->code))
        return;
    in->code = NRPC_OK;
    add_task(c, &in->task);
    for (size_t i = 0; i < in->failure_count && !c->code; i++)
        records_mysql_add_failure(c, in->task.id, &in->failures[i]);
    mycall_flush(c, &records_mysql_failures);
}

static void add_history(struct mycall *c, const struct import *a)
{
    uint64_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        n += a->tasks[i].code ? 0 : a->tasks[i].event_count;
    uint64_t sequence = n ? mycall_take_numbers(c, EVENT_COUNTER, n) : 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct records_import *in = &a->tasks[i];
        for (size_t k = 0; !in->code && k < in->event_count; k++)
            mycall_add_row(c, &records_mysql_events, EVENT_ROW, sequence++, in->task.id,
                           (int64_t)in->events[k].status, in->events[k].message, in->events[k].time_ms);
    }
    mycall_flush(c, &records_mysql_events);
}

static void import_all(struct mycall *c, void *args)
{
    struct import *a = args;
    struct arena scratch;
    uint64_t next = 0;
    arena_init(&scratch, 0);
    c->out = &scratch;
    mycall_take_numbers(c, TASK_COUNTER, 0); // its lock: nobody creates tasks until the commit
    for (size_t i = 0; i < a->count && !c->code; i++) {
        const struct records_import *in = &a->tasks[i];
        import_one(c, &a->tasks[i]);
        next = !in->code && in->task.id >= next ? in->task.id + 1 : next;
        arena_reset(&scratch);
    }
    mycall_run(c, "UPDATE tbl_counter SET next_id = GREATEST(next_id, $u) WHERE name = $t", next,
               TASK_COUNTER);
    add_history(c, a);
    c->out = NULL;
    arena_fini(&scratch);
}

int records_mysql_import(struct records *r, struct records_import *tasks, size_t count,
                         struct nrpc_status *st)
{
    struct import args = {tasks, count};
    int code = records_check_imports(tasks, count, st);
    if (code || !count)
        return code;
    return mycall_do(r, MYCALL_WRITE, import_all, &args, NULL, st);
}
