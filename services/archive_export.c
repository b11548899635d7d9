// SPDX-License-Identifier: Apache-2.0
// archive_export.c: reads the records, task by task, and sends them in pieces that fit a message.
#include "archive.h"
#include "base/version.h"

#include "counters_message.h"
#include "dtf/v1/admin.nrpc.h"

#include <stdlib.h>
#include <string.h>

enum {
    FORMAT = 1,
    LIST_PAGE = 100,
    PAGE = 1000,                            // events, or failures, read at once
    PIECE_BYTES = BUDGET_MESSAGE_BYTES / 4, // in an item, beyond which no more is added to it
    HELD_BYTES = 4 << 20,                   // of a task, read and not yet sent
    FRAMING_BYTES = 64,                     // about, around an event or a failure
};

struct export
{
    const struct env *env;
    struct nrpc_call *call;
    struct arena list, arena;   // of a page of the list; of what the item points to
    Dtf__V1__ArchivedTask task; // the item: this until it is sent, then `more`
    Dtf__V1__ArchivedMore more;
    bool is_more;
    size_t bytes; // of it, about
    Dtf__V1__ArchivedEvent **events;
    Dtf__V1__ArchivedFailure **failures;
    size_t event_count, failure_count, event_capacity, failure_capacity;
    uint64_t tasks; // sent
};

// ---- sending

static int send_item(struct export *x, Dtf__V1__ArchiveItem *item, struct nrpc_status *st)
{
    Dtf__V1__ExportResponse response = DTF__V1__EXPORT_RESPONSE__INIT;
    response.item = item;
    int code = dtf_v1_admin_service_export_send(x->call, &response);
    if (code == NRPC_RESOURCE_EXHAUSTED)
        return status_set(st, code, "task %llu: its record does not fit in a message",
                          (unsigned long long)x->task.id);
    return code ? status_set(st, code, "nobody takes the export any more") : NRPC_OK;
}

// Sends the item as far as it is, and begins the next one of the same task.
static int send_piece(struct export *x, struct nrpc_status *st)
{
    Dtf__V1__ArchiveItem item = DTF__V1__ARCHIVE_ITEM__INIT;
    dtf__v1__archived_more__init(&x->more);
    x->more.task_id = x->task.id;
    if (x->is_more) {
        item.item_case = DTF__V1__ARCHIVE_ITEM__ITEM_MORE;
        item.more = &x->more;
    } else {
        item.item_case = DTF__V1__ARCHIVE_ITEM__ITEM_TASK;
        item.task = &x->task;
    }
    x->task.events = x->more.events = x->events;
    x->task.failures = x->more.failures = x->failures;
    x->task.n_events = x->more.n_events = x->event_count;
    x->task.n_failures = x->more.n_failures = x->failure_count;
    int code = send_item(x, &item, st);
    x->is_more = true;
    x->event_count = x->failure_count = x->bytes = 0;
    return code;
}

// Makes sure that the item may take this much more.
static int make_room(struct export *x, size_t bytes, struct nrpc_status *st)
{
    int code = x->bytes && x->bytes + bytes > PIECE_BYTES ? send_piece(x, st) : NRPC_OK;
    x->bytes += bytes;
    return code;
}

// Lets go of what was read of the task, if it is much.
static int let_go(struct export *x, struct nrpc_status *st)
{
    if (x->arena.used_bytes <= HELD_BYTES)
        return NRPC_OK;
    int code = x->bytes ? send_piece(x, st) : NRPC_OK;
    arena_reset(&x->arena);
    return code;
}

// ---- a task

static char *text_of(const char *text)
{
    return (char *)(text ? text : "");
}

static void begin_task(struct export *x, const struct records_task *t)
{
    Dtf__V1__ArchivedTask *m = &x->task;
    dtf__v1__archived_task__init(m);
    m->id = t->id;
    m->status = (Dtf__V1__TaskStatus)t->status;
    m->name = text_of(t->name);
    m->description = text_of(t->description);
    m->type = text_of(t->type);
    m->creator = text_of(t->creator);
    m->creator_uid = t->creator_uid;
    m->resource_group = text_of(t->group);
    m->priority = t->priority;
    m->idempotency_key = text_of(t->idempotency_key);
    m->created_ms = t->created_ms;
    m->deadline_ms = t->deadline_ms;
    m->finished_ms = t->finished_ms;
    m->message = text_of(t->message);
    m->stop_asked = t->stop_asked;
    m->stop_message = text_of(t->stop_message);
    m->param = (ProtobufCBinaryData){t->param.bytes, (uint8_t *)t->param.data};
    if (model_status_is_terminal(t->status))
        m->counters = counters_message(&t->counters, &x->arena);
    x->is_more = false;
    x->bytes = t->param.bytes + strlen(m->message) + strlen(m->stop_message) + FRAMING_BYTES;
}

static int add_event(struct export *x, const struct records_event *e, struct nrpc_status *st)
{
    int code = make_room(x, strlen(text_of(e->message)) + FRAMING_BYTES, st);
    if (code)
        return code;
    Dtf__V1__ArchivedEvent *m = arena_alloc(&x->arena, sizeof *m);
    dtf__v1__archived_event__init(m);
    m->status = (Dtf__V1__TaskStatus)e->status;
    m->message = text_of(e->message);
    m->time_ms = e->time_ms;
    mem_grow(&x->events, &x->event_capacity, x->event_count + 1, sizeof(Dtf__V1__ArchivedEvent *));
    x->events[x->event_count++] = m;
    return NRPC_OK;
}

static int add_failure(struct export *x, const struct records_failure *f, struct nrpc_status *st)
{
    size_t size = f->body.bytes + f->param.bytes + strlen(text_of(f->message)) + FRAMING_BYTES;
    if (make_room(x, size, st))
        return st->code;
    Dtf__V1__ArchivedFailure *m = arena_alloc(&x->arena, sizeof *m);
    Dtf__V1__Result *r = arena_alloc(&x->arena, sizeof *r);
    dtf__v1__archived_failure__init(m);
    dtf__v1__result__init(r);
    m->result = r;
    m->param = (ProtobufCBinaryData){f->param.bytes, (uint8_t *)f->param.data};
    r->subtask_id = f->seq;
    r->attempt = f->attempt;
    r->kind = (Dtf__V1__ResultKind)f->kind;
    r->code = f->code;
    r->message = text_of(f->message);
    r->body = (ProtobufCBinaryData){f->body.bytes, (uint8_t *)f->body.data};
    r->run_us = (uint64_t)f->run_us;
    mem_grow(&x->failures, &x->failure_capacity, x->failure_count + 1, sizeof(Dtf__V1__ArchivedFailure *));
    x->failures[x->failure_count++] = m;
    return NRPC_OK;
}

static int add_events(struct export *x, struct nrpc_status *st)
{
    struct records *r = x->env->records;
    struct records_event *events;
    uint64_t after = 0, first_kept;
    size_t count = 1;
    int code = NRPC_OK;
    while (code == NRPC_OK && count) {
        code = r->ops->events(r, after, x->task.id, PAGE, &x->arena, &events, &count, &first_kept, st);
        for (size_t i = 0; code == NRPC_OK && i < count; i++) {
            code = add_event(x, &events[i], st);
            after = events[i].sequence;
        }
        code = code ? code : let_go(x, st);
    }
    return code;
}

static int add_failures(struct export *x, struct nrpc_status *st)
{
    struct records *r = x->env->records;
    struct records_failure *failures;
    uint64_t after = 0;
    size_t count = 1;
    int code = NRPC_OK;
    while (code == NRPC_OK && count) {
        code = r->ops->failures(r, x->task.id, after, PAGE, &x->arena, &failures, &count, st);
        for (size_t i = 0; code == NRPC_OK && i < count; i++) {
            code = add_failure(x, &failures[i], st);
            after = failures[i].seq;
        }
        code = code ? code : let_go(x, st);
    }
    return code;
}

// What of an unfinished task has failed so far will run again where it is imported.
static int export_task(struct export *x, uint64_t id, bool unfinished, struct nrpc_status *st)
{
    struct records_task t;
    arena_reset(&x->arena);
    int code = x->env->records->ops->get(x->env->records, id, &x->arena, &t, st);
    if (code)
        return code == NRPC_NOT_FOUND ? NRPC_OK : code; // it was forgotten meanwhile
    bool has_ended = model_status_is_terminal(t.status);
    if (!has_ended && !unfinished)
        return NRPC_OK;
    begin_task(x, &t);
    code = add_events(x, st);
    if (code == NRPC_OK && has_ended)
        code = add_failures(x, st);
    if (code == NRPC_OK && x->bytes)
        code = send_piece(x, st);
    x->tasks++;
    return code;
}

// ---- all

static int export_header(struct export *x, struct nrpc_status *st)
{
    Dtf__V1__ArchiveItem item = DTF__V1__ARCHIVE_ITEM__INIT;
    Dtf__V1__ArchiveHeader header = DTF__V1__ARCHIVE_HEADER__INIT;
    item.item_case = DTF__V1__ARCHIVE_ITEM__ITEM_HEADER;
    item.header = &header;
    header.format = FORMAT;
    header.version = (char *)version_number;
    return send_item(x, &item, st);
}

static int export_groups(struct export *x, struct nrpc_status *st)
{
    struct records_group *groups;
    size_t count;
    int code = x->env->records->ops->groups(x->env->records, &x->list, &groups, &count, st);
    for (size_t i = 0; code == NRPC_OK && i < count; i++) {
        Dtf__V1__ArchiveItem item = DTF__V1__ARCHIVE_ITEM__INIT;
        Dtf__V1__ArchivedGroup group = DTF__V1__ARCHIVED_GROUP__INIT;
        item.item_case = DTF__V1__ARCHIVE_ITEM__ITEM_GROUP;
        item.group = &group;
        group.name = (char *)groups[i].name;
        group.quota = groups[i].quota;
        code = send_item(x, &item, st);
    }
    return code;
}

static int export_tasks(struct export *x, bool unfinished, struct nrpc_status *st)
{
    struct records *r = x->env->records;
    struct records_task *tasks;
    uint64_t before = 0;
    size_t count = 1;
    int code = NRPC_OK;
    while (code == NRPC_OK && count) {
        arena_reset(&x->list);
        code = r->ops->list(r, 0, before, LIST_PAGE, &x->list, &tasks, &count, st);
        for (size_t i = 0; code == NRPC_OK && i < count; i++) {
            before = tasks[i].id;
            if (unfinished || model_status_is_terminal(tasks[i].status))
                code = export_task(x, tasks[i].id, unfinished, st);
        }
    }
    return code;
}

static int export_end(struct export *x, struct nrpc_status *st)
{
    Dtf__V1__ArchiveItem item = DTF__V1__ARCHIVE_ITEM__INIT;
    Dtf__V1__ArchiveEnd end = DTF__V1__ARCHIVE_END__INIT;
    item.item_case = DTF__V1__ARCHIVE_ITEM__ITEM_END;
    item.end = &end;
    end.tasks = x->tasks;
    return send_item(x, &item, st);
}

void archive_export(const struct env *env, struct nrpc_call *call, bool unfinished)
{
    struct export x = {.env = env, .call = call};
    struct nrpc_status st;
    arena_init(&x.list, 0);
    arena_init(&x.arena, 0);
    dtf__v1__archived_task__init(&x.task);
    if (export_header(&x, &st) || export_groups(&x, &st) || export_tasks(&x, unfinished, &st) ||
        export_end(&x, &st))
        nrpc_reply_status(call, &st);
    else
        nrpc_finish(call);
    free(x.events);
    free(x.failures);
    arena_fini(&x.list);
    arena_fini(&x.arena);
}
