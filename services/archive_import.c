// SPDX-License-Identifier: Apache-2.0
// archive_import.c: gathers tasks into batches and records each batch in one step.
//
// A task is recorded whole, with its history and the failures that came in its own item. What more failures
// follow are added to it, which can be repeated: an import that broke off is made complete by another.
#include "archive.h"

#include "base/utf8.h"
#include "dtf.h"
#include "dtf/v1/admin.nrpc.h"
#include "manager/param.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FORMAT = 1,
    BATCH_MAX = 100,
    BATCH_BYTES = 2 << 20, // after which a batch is recorded
    HELD_BYTES = 32 << 20, // of one task's history
    REFUSALS_MAX = 1000,
};

struct waiting { // a task to be recorded
    struct records_import in;
    struct records_event *events; // what in.events points to when it is complete
    struct records_failure *failures;
    size_t event_capacity;
};

struct import {
    struct admin *admin;
    struct records *records;
    struct nrpc_call *call;
    struct arena arena; // of the waiting tasks
    struct waiting waiting[BATCH_MAX];
    size_t waiting_count;
    uint64_t last;  // the task that came last
    bool last_here; // it was recorded, now or before
    bool is_begun, will_run;
    Dtf__V1__ImportResponse response;
    Dtf__V1__Refusal *refusals[REFUSALS_MAX];
    struct arena words; // of the refusals
};

static void refuse(struct import *m, const char *kind, const char *name, const char *reason)
{
    m->response.refused++;
    if (m->response.n_refusals == REFUSALS_MAX)
        return;
    Dtf__V1__Refusal *r = arena_alloc(&m->words, sizeof *r);
    size_t size = strlen(kind) + DTF_NAME_MAX + 2;
    dtf__v1__refusal__init(r);
    r->what = arena_alloc(&m->words, size);
    snprintf(r->what, size, "%s %s", kind, name);
    utf8_repair(r->what);
    r->reason = arena_strdup(&m->words, reason);
    m->refusals[m->response.n_refusals++] = r;
}

static void refuse_task(struct import *m, uint64_t id, const char *reason)
{
    char name[24];
    snprintf(name, sizeof name, "%llu", (unsigned long long)id);
    refuse(m, "task", name, reason);
}

// ---- recording

static void take_outcome(struct import *m, const struct records_import *in)
{
    m->last_here = in->code == NRPC_OK || in->code == NRPC_ALREADY_EXISTS;
    m->response.imported += in->code == NRPC_OK;
    m->response.existed += in->code == NRPC_ALREADY_EXISTS;
    m->will_run |= in->code == NRPC_OK && !model_status_is_terminal(in->task.status);
    if (!m->last_here)
        refuse_task(m, in->task.id, "another task has its id or its idempotency key");
}

// Records some tasks; when they are refused as a whole, one at a time.
static int record(struct import *m, struct records_import *tasks, size_t count, struct nrpc_status *st)
{
    int code = m->records->ops->import(m->records, tasks, count, st);
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        take_outcome(m, &tasks[i]);
    if (code != NRPC_INVALID_ARGUMENT)
        return code;
    if (count == 1) {
        refuse_task(m, tasks->task.id, st->text);
        m->last_here = false;
        return NRPC_OK;
    }
    code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        code = record(m, &tasks[i], 1, st);
    return code;
}

static void drop_waiting(struct import *m)
{
    for (size_t i = 0; i < m->waiting_count; i++)
        free(m->waiting[i].events);
    m->waiting_count = 0;
    arena_reset(&m->arena);
}

static int record_waiting(struct import *m, struct nrpc_status *st)
{
    struct records_import tasks[BATCH_MAX];
    for (size_t i = 0; i < m->waiting_count; i++) {
        tasks[i] = m->waiting[i].in;
        tasks[i].events = m->waiting[i].events;
    }
    int code = m->waiting_count ? record(m, tasks, m->waiting_count, st) : NRPC_OK;
    drop_waiting(m);
    return code;
}

// ---- reading items

static void read_counters(const Dtf__V1__Counters *m, struct model_counters *out)
{
    *out = (struct model_counters){
        .generated = m->generated,
        .succeeded = m->succeeded,
        .failed = m->failed,
        .timed_out = m->timed_out,
        .cancelled = m->cancelled,
        .retried = m->retried,
        .redispatched = m->redispatched,
        .running = m->running,
        .queued = m->queued,
        .generation_done = m->generation_done,
    };
}

static struct records_blob copy_blob(struct arena *a, ProtobufCBinaryData b)
{
    return (struct records_blob){arena_dup(a, b.data, b.len), b.len};
}

static void read_task(const Dtf__V1__ArchivedTask *m, struct arena *a, struct records_task *out)
{
    *out = (struct records_task){
        .id = m->id,
        .status = (enum model_status)m->status,
        .name = arena_strdup(a, m->name),
        .description = arena_strdup(a, m->description),
        .type = arena_strdup(a, m->type),
        .creator = arena_strdup(a, m->creator),
        .group = arena_strdup(a, m->resource_group),
        .message = arena_strdup(a, m->message),
        .creator_uid = m->creator_uid,
        .priority = m->priority,
        .created_ms = m->created_ms,
        .deadline_ms = m->deadline_ms,
        .finished_ms = m->finished_ms,
        .param = copy_blob(a, m->param),
        .idempotency_key = *m->idempotency_key ? arena_strdup(a, m->idempotency_key) : NULL,
        .stop_asked = m->stop_asked,
        .stop_message = m->stop_asked ? arena_strdup(a, m->stop_message) : NULL,
    };
    if (m->counters)
        read_counters(m->counters, &out->counters);
}

static int check_events(Dtf__V1__ArchivedEvent *const *events, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++)
        if (events[i]->status < DTF__V1__TASK_STATUS__TASK_CREATED ||
            events[i]->status > DTF__V1__TASK_STATUS__TASK_TIMED_OUT)
            return status_set(st, NRPC_INVALID_ARGUMENT, "events[%zu].status: is none", i);
    return NRPC_OK;
}

static int check_failures(Dtf__V1__ArchivedFailure *const *failures, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++) {
        const Dtf__V1__Result *r = failures[i]->result;
        if (!r || !r->subtask_id || r->subtask_id > MODEL_NUMBER_MAX || r->run_us > MODEL_NUMBER_MAX)
            return status_set(st, NRPC_INVALID_ARGUMENT, "failures[%zu].result: is no result", i);
        if (r->kind < DTF__V1__RESULT_KIND__RESULT_SUCCESS || r->kind > DTF__V1__RESULT_KIND__RESULT_LOST)
            return status_set(st, NRPC_INVALID_ARGUMENT, "failures[%zu].result.kind: is none", i);
    }
    return NRPC_OK;
}

static void add_events(struct waiting *w, struct arena *a, Dtf__V1__ArchivedEvent *const *events,
                       size_t count)
{
    mem_grow(&w->events, &w->event_capacity, w->in.event_count + count, sizeof *w->events);
    for (size_t i = 0; i < count; i++)
        w->events[w->in.event_count++] =
            (struct records_event){.status = (enum model_status)events[i]->status,
                                   .message = arena_strdup(a, events[i]->message),
                                   .time_ms = events[i]->time_ms};
}

// The texts and blobs stay the message's.
static struct records_failure *read_failures(uint64_t task, struct arena *a,
                                             Dtf__V1__ArchivedFailure *const *failures, size_t count)
{
    struct records_failure *out = arena_alloc(a, (count + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        const Dtf__V1__Result *r = failures[i]->result;
        out[i] = (struct records_failure){
            .task = task,
            .seq = r->subtask_id,
            .attempt = r->attempt,
            .kind = (enum model_kind)r->kind,
            .code = r->code,
            .message = r->message,
            .body = {r->body.data, r->body.len},
            .param = {failures[i]->param.data, failures[i]->param.len},
            .run_us = (int64_t)r->run_us,
        };
    }
    return out;
}

static void copy_failures(struct records_failure *failures, size_t count, struct arena *a)
{
    for (size_t i = 0; i < count; i++) {
        struct records_failure *f = &failures[i];
        f->message = arena_strdup(a, f->message);
        f->body.data = arena_dup(a, f->body.data, f->body.bytes);
        f->param.data = arena_dup(a, f->param.data, f->param.bytes);
    }
}

// ---- checking

// The record of a task that is to run agrees with what it is to run with.
static int check_runnable(const Dtf__V1__ArchivedTask *t, const Dtf__V1__TaskParam *p, struct nrpc_status *st)
{
    if (strcmp(p->type, t->type) != 0 || strcmp(p->resource_group, t->resource_group) != 0 ||
        p->priority != t->priority)
        return status_set(st, NRPC_INVALID_ARGUMENT, "param: does not agree with the record");
    return param_check(p, st);
}

static int check_numbers(const Dtf__V1__ArchivedTask *t, struct nrpc_status *st)
{
    static const Dtf__V1__Counters none = DTF__V1__COUNTERS__INIT;
    const Dtf__V1__Counters *n = t->counters ? t->counters : &none;
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {
        // negative times are large numbers
        {"created_ms", (uint64_t)t->created_ms},
        {"deadline_ms", (uint64_t)t->deadline_ms},
        {"finished_ms", (uint64_t)t->finished_ms},
        {"generated", n->generated},
        {"succeeded", n->succeeded},
        {"failed", n->failed},
        {"timed_out", n->timed_out},
        {"cancelled", n->cancelled},
        {"retried", n->retried},
        {"redispatched", n->redispatched},
        {"running", n->running},
        {"queued", n->queued},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (model_check_number(numbers[i].name, numbers[i].number, st))
            return NRPC_INVALID_ARGUMENT;
    return NRPC_OK;
}

static int check_task(const Dtf__V1__ArchivedTask *t, struct nrpc_status *st)
{
    bool has_ended = model_status_is_terminal((int)t->status);
    if (t->status < DTF__V1__TASK_STATUS__TASK_CREATED || t->status > DTF__V1__TASK_STATUS__TASK_TIMED_OUT)
        return status_set(st, NRPC_INVALID_ARGUMENT, "status: is none");
    if (has_ended != (t->finished_ms != 0))
        return status_set(st, NRPC_INVALID_ARGUMENT, "finished_ms: does not agree with the status");
    if (!has_ended && t->n_failures)
        return status_set(st, NRPC_INVALID_ARGUMENT, "failures: the task has not ended");
    if (check_numbers(t, st) || check_events(t->events, t->n_events, st) ||
        check_failures(t->failures, t->n_failures, st))
        return st->code;
    Dtf__V1__TaskParam *p = dtf__v1__task_param__unpack(NULL, t->param.len, t->param.data);
    if (!p)
        return status_set(st, NRPC_INVALID_ARGUMENT, "param: is no dtf.v1.TaskParam");
    int code = has_ended ? NRPC_OK : check_runnable(t, p, st);
    dtf__v1__task_param__free_unpacked(p, NULL);
    return code;
}

// ---- items

static int take_header(struct import *m, const Dtf__V1__ArchiveHeader *h, struct nrpc_status *st)
{
    m->is_begun = true;
    if (h->format != FORMAT)
        return status_set(st, NRPC_INVALID_ARGUMENT, "format %u is none that this program knows", h->format);
    return NRPC_OK;
}

static int take_group(struct import *m, const Dtf__V1__ArchivedGroup *g, struct nrpc_status *st)
{
    int code = admin_set_group(m->admin, g->name, g->quota, st);
    if (code == NRPC_INVALID_ARGUMENT) {
        refuse(m, "group", g->name, st->text);
        code = NRPC_OK;
    }
    return code;
}

static int take_task(struct import *m, const Dtf__V1__ArchivedTask *t, struct nrpc_status *st)
{
    struct nrpc_status problem;
    int code =
        m->waiting_count == BATCH_MAX || m->arena.used_bytes > BATCH_BYTES ? record_waiting(m, st) : NRPC_OK;
    if (code)
        return code;
    m->last = t->id;
    if (check_task(t, &problem)) {
        code = record_waiting(m, st);
        m->last_here = false;
        refuse_task(m, t->id, problem.text);
        return code;
    }
    struct waiting *w = &m->waiting[m->waiting_count++];
    *w = (struct waiting){0};
    read_task(t, &m->arena, &w->in.task);
    add_events(w, &m->arena, t->events, t->n_events);
    w->in.failures = w->failures = read_failures(t->id, &m->arena, t->failures, t->n_failures);
    w->in.failure_count = t->n_failures;
    copy_failures(w->failures, t->n_failures, &m->arena);
    return NRPC_OK;
}

// More history, as long as the task is not recorded yet.
static int take_more_events(struct import *m, const Dtf__V1__ArchivedMore *more, struct nrpc_status *st)
{
    if (!more->n_events || (!m->waiting_count && !m->last_here))
        return NRPC_OK;
    if (!m->waiting_count)
        return status_set(st, NRPC_INVALID_ARGUMENT, "task %llu: events come before failures",
                          (unsigned long long)more->task_id);
    if (m->arena.used_bytes > HELD_BYTES)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "task %llu: its history is over %d bytes",
                          (unsigned long long)more->task_id, HELD_BYTES);
    if (check_events(more->events, more->n_events, st))
        return st->code;
    add_events(&m->waiting[m->waiting_count - 1], &m->arena, more->events, more->n_events);
    return NRPC_OK;
}

static int take_more(struct import *m, const Dtf__V1__ArchivedMore *more, struct nrpc_status *st)
{
    if (!more->task_id || more->task_id != m->last)
        return status_set(st, NRPC_INVALID_ARGUMENT, "task %llu: what follows it does not belong to it",
                          (unsigned long long)m->last);
    if (take_more_events(m, more, st) || check_failures(more->failures, more->n_failures, st))
        return st->code;
    if (!more->n_failures)
        return NRPC_OK;
    int code = record_waiting(m, st);
    if (code || !m->last_here)
        return code;
    struct records_failure *failures =
        read_failures(more->task_id, &m->arena, more->failures, more->n_failures);
    code = m->records->ops->put_failures(m->records, failures, more->n_failures, true, st);
    arena_reset(&m->arena);
    return code;
}

static int take_item(struct import *m, const Dtf__V1__ArchiveItem *item, struct nrpc_status *st)
{
    if (!item || (!m->is_begun && item->item_case != DTF__V1__ARCHIVE_ITEM__ITEM_HEADER))
        return status_set(st, NRPC_INVALID_ARGUMENT, "an archive begins with its header");
    switch (item->item_case) {
    case DTF__V1__ARCHIVE_ITEM__ITEM_HEADER:
        return take_header(m, item->header, st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_GROUP:
        return take_group(m, item->group, st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_TASK:
        return take_task(m, item->task, st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_MORE:
        return take_more(m, item->more, st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_END:
        return NRPC_OK;
    default:
        return status_set(st, NRPC_INVALID_ARGUMENT, "an item of no kind that this program knows");
    }
}

// ---- all

static int take_all(struct import *m, struct nrpc_status *st)
{
    const Dtf__V1__ImportRequest *q;
    for (;;) {
        int code = dtf_v1_admin_service_import_receive(m->call, &q);
        if (code)
            return status_set(st, code, "the import broke off");
        code = q ? take_item(m, q->item, st) : record_waiting(m, st);
        if (code || !q)
            return code;
    }
}

void archive_import(struct admin *admin, const struct env *env, struct nrpc_call *call)
{
    struct import *m = mem_calloc(1, sizeof *m);
    struct nrpc_status st;
    m->admin = admin;
    m->records = env->records;
    m->call = call;
    arena_init(&m->arena, 0);
    arena_init(&m->words, 0);
    dtf__v1__import_response__init(&m->response);
    m->response.refusals = m->refusals;
    int code = take_all(m, &st);
    if (m->will_run)
        admin_tasks_imported(admin);
    if (code)
        nrpc_reply_status(call, &st);
    else
        dtf_v1_admin_service_import_reply(call, &m->response);
    drop_waiting(m);
    arena_fini(&m->arena);
    arena_fini(&m->words);
    free(m);
}
