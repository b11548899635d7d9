// SPDX-License-Identifier: Apache-2.0
// records_check.c: the limits of records.h.
#include "records/records_check.h"

#include "base/utf8.h"

#include <string.h>

static const uint64_t number_max = 1ull << 62; // so that the sum of two of them fits a signed column
static const uint64_t block_max = 1ull << 32;

static int check_text(const char *field, const char *text, size_t max, struct nrpc_status *st)
{
    size_t size = text ? strlen(text) : 0;
    if (size > max)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: %zu bytes are over the limit of %zu", field, size,
                          max);
    if (text && !utf8_is_valid(text))
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: is not valid UTF-8", field);
    return NRPC_OK;
}

static int check_bytes(const char *field, size_t bytes, struct nrpc_status *st)
{
    if (bytes > RECORDS_BLOB_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: %zu bytes are over the limit of %d", field, bytes,
                          RECORDS_BLOB_MAX);
    return NRPC_OK;
}

static int check_number(const char *field, uint64_t number, struct nrpc_status *st)
{
    if (number > number_max)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: is over 2^62", field);
    return NRPC_OK;
}

int records_check_message(const char *message, struct nrpc_status *st)
{
    size_t size = message ? strlen(message) : 0;
    if (size > RECORDS_MESSAGE_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "message: %zu bytes are over the limit of %d", size,
                          RECORDS_MESSAGE_MAX);
    return NRPC_OK;
}

static int check_task(const struct records_new_task *t, struct nrpc_status *st)
{
    const struct {
        const char *field, *text;
        size_t max;
    } texts[] = {
        {"name", t->name, RECORDS_NAME_MAX},   {"description", t->description, RECORDS_DESCRIPTION_MAX},
        {"type", t->type, RECORDS_NAME_MAX},   {"creator", t->creator, RECORDS_NAME_MAX},
        {"group", t->group, RECORDS_NAME_MAX}, {"idempotency_key", t->idempotency_key, RECORDS_NAME_MAX},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (check_text(texts[i].field, texts[i].text, texts[i].max, st))
            return NRPC_INVALID_ARGUMENT;
    return check_bytes("param", t->param.bytes, st);
}

int records_check_new(const struct records_new_task *tasks, size_t count, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < count && !code; i++)
        code = check_task(&tasks[i], st);
    return code;
}

int records_check_changes(const struct records_change *changes, size_t count, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < count && !code; i++)
        code = records_check_message(changes[i].message, st);
    return code;
}

int records_check_failures(const struct records_failure *failures, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++) {
        const struct records_failure *f = &failures[i];
        if (records_check_message(f->message, st) || check_bytes("body", f->body.bytes, st) ||
            check_bytes("param", f->param.bytes, st) ||
            check_bytes("body and param", f->body.bytes + f->param.bytes, st))
            return NRPC_INVALID_ARGUMENT;
    }
    return NRPC_OK;
}

int records_check_group(const char *name, struct nrpc_status *st)
{
    return check_text("name", name, RECORDS_NAME_MAX, st);
}

int records_check_ids(const char *name, uint64_t count, struct nrpc_status *st)
{
    if (!name || !*name || !strncmp(name, "tbl_", 4))
        return status_set(st, NRPC_INVALID_ARGUMENT, "name: is empty or begins with \"tbl_\"");
    if (count > block_max)
        return status_set(st, NRPC_INVALID_ARGUMENT, "count: over 2^32 numbers at once");
    return check_text("name", name, RECORDS_NAME_MAX, st);
}

int records_check_resumes(const struct records_resume *points, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++)
        if (check_bytes("checkpoint", points[i].has_checkpoint ? points[i].checkpoint.bytes : 0, st) ||
            check_number("made", points[i].made, st))
            return NRPC_INVALID_ARGUMENT;
    return NRPC_OK;
}

int records_check_fed(uint64_t at, uint64_t count, struct records_blob packed, struct nrpc_status *st)
{
    if (check_number("at", at, st) || check_number("count", count, st))
        return NRPC_INVALID_ARGUMENT;
    return check_bytes("packed", packed.bytes, st);
}

static int check_import(const struct records_import *in, struct nrpc_status *st)
{
    const struct records_task *t = &in->task;
    const struct records_new_task as_new = {.name = t->name,
                                            .description = t->description,
                                            .type = t->type,
                                            .creator = t->creator,
                                            .group = t->group,
                                            .idempotency_key = t->idempotency_key,
                                            .param = t->param};
    if (!t->id || t->id > MODEL_IMPORTED_ID_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "id: is 0 or over 2^52");
    if (t->status < MODEL_CREATED || t->status > MODEL_TIMED_OUT)
        return status_set(st, NRPC_INVALID_ARGUMENT, "status: is none");
    if (check_task(&as_new, st) || records_check_message(t->message, st) ||
        records_check_message(t->stop_message, st))
        return NRPC_INVALID_ARGUMENT;
    for (size_t i = 0; i < in->event_count; i++)
        if (records_check_message(in->events[i].message, st))
            return NRPC_INVALID_ARGUMENT;
    return records_check_failures(in->failures, in->failure_count, st);
}

int records_check_imports(const struct records_import *tasks, size_t count, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < count && !code; i++)
        code = check_import(&tasks[i], st);
    return code;
}

const char *records_message(const char *message, struct arena *a)
{
    if (!message || utf8_is_valid(message))
        return message;
    char *copy = arena_strdup(a, message);
    utf8_repair(copy);
    return copy;
}

static bool same_text(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static bool same_blob(struct records_blob a, struct records_blob b)
{
    return a.bytes == b.bytes && (!a.bytes || !memcmp(a.data, b.data, a.bytes));
}

bool records_same_task(const struct records_task *a, const struct records_task *b)
{
    return a->id == b->id && same_text(a->name, b->name) && same_text(a->description, b->description) &&
           same_text(a->type, b->type) && same_text(a->creator, b->creator) &&
           same_text(a->group, b->group) && same_text(a->idempotency_key, b->idempotency_key) &&
           a->creator_uid == b->creator_uid && a->priority == b->priority && a->created_ms == b->created_ms &&
           a->deadline_ms == b->deadline_ms && same_blob(a->param, b->param);
}
