// SPDX-License-Identifier: Apache-2.0
// state_redis_reply.c: reads what scripts answer. What is missing, of another type or out of range fails the
// call as DATA_LOSS, and its text names it; nobody who reads an answer needs to expect anything else of it.
#include "state/state_redis_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const redisReply nothing = {.type = REDIS_REPLY_NIL, .str = ""};

const redisReply *rs_at(const redisReply *array, size_t i)
{
    return array && array->type == REDIS_REPLY_ARRAY && i < array->elements ? array->element[i] : &nothing;
}

size_t rs_size(const redisReply *array)
{
    return array->type == REDIS_REPLY_ARRAY ? array->elements : 0;
}

bool rs_is_nil(const redisReply *r)
{
    return r->type == REDIS_REPLY_NIL;
}

void rs_surprise(struct rs_call *c, const redisReply *r, const char *name)
{
    if (c->code)
        return;
    const char *where = redis_link_name(c->shard->link);
    if (rs_is_nil(r))
        c->code = status_set(c->st, NRPC_DATA_LOSS, "Redis at %s: an answer of %s has no %s", where,
                             c->script, name);
    else
        c->code =
            status_set(c->st, NRPC_DATA_LOSS, "Redis at %s: the %s in an answer of %s is \"%.40s\"", where,
                       name, c->script, r->type == REDIS_REPLY_STRING ? r->str : "of another type");
}

bool rs_parse_u64(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : (end = (char *)text, 1);
    return end != text && !*end && !errno && *out <= most;
}

static uint64_t number_at(struct rs_call *c, const redisReply *array, size_t i, const char *name,
                          uint64_t most)
{
    const redisReply *r = rs_at(array, i);
    uint64_t value = r->type == REDIS_REPLY_INTEGER ? (uint64_t)r->integer : 0;
    bool good = r->type == REDIS_REPLY_INTEGER ? r->integer >= 0 && value <= most
                                               : r->type == REDIS_REPLY_STRING && strlen(r->str) == r->len &&
                                                     rs_parse_u64(r->str, most, &value);
    if (!good)
        rs_surprise(c, r, name);
    return good && !c->code ? value : 0;
}

uint64_t rs_u64_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    return number_at(c, array, i, name, UINT64_MAX);
}

uint32_t rs_u32_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    return (uint32_t)number_at(c, array, i, name, UINT32_MAX);
}

int64_t rs_time_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    int64_t ms = (int64_t)number_at(c, array, i, name, INT64_MAX);
    return ms < STATE_REDIS_NEVER ? ms : CLOCK_NEVER;
}

int rs_small_at(struct rs_call *c, const redisReply *array, size_t i, const char *name, int least, int most)
{
    const redisReply *r = rs_at(array, i);
    if (least < 0 && ((r->type == REDIS_REPLY_INTEGER && r->integer == least) ||
                      (r->type == REDIS_REPLY_STRING && *r->str == '-' && atoi(r->str) == least)))
        return least;
    int value = (int)number_at(c, array, i, name, (uint64_t)most);
    if (value < least)
        rs_surprise(c, r, name);
    return value;
}

uint32_t rs_mask_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    const redisReply *r = rs_at(array, i);
    if (r->type != REDIS_REPLY_INTEGER || r->integer < INT32_MIN || r->integer > UINT32_MAX)
        rs_surprise(c, r, name);
    return c->code ? 0 : (uint32_t)r->integer;
}

const redisReply *rs_array_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    const redisReply *r = rs_at(array, i);
    if (c->code == NRPC_OK && r->type != REDIS_REPLY_ARRAY)
        rs_surprise(c, r, name);
    return c->code ? &nothing : r;
}

void *rs_out(struct rs_call *c, size_t count, size_t size)
{
    if (c->code)
        return NULL;
    void *p = count > SIZE_MAX / size ? NULL : arena_alloc(c->out, count * size);
    if (!p)
        c->code = status_set(c->st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
    return p;
}

const char *rs_text_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    const redisReply *r = rs_at(array, i);
    if (r->type != REDIS_REPLY_STRING)
        rs_surprise(c, r, name);
    char *copy = rs_out(c, r->len + 1, 1);
    return copy ? memcpy(copy, r->str, r->len + 1) : "";
}

struct state_blob rs_blob_at(struct rs_call *c, const redisReply *array, size_t i, const char *name)
{
    const redisReply *r = rs_at(array, i);
    if (r->type != REDIS_REPLY_STRING)
        rs_surprise(c, r, name);
    return rs_out_blob(c, r->str, r->len);
}

struct state_blob rs_out_blob(struct rs_call *c, const void *data, size_t bytes)
{
    char *copy = rs_out(c, bytes + 1, 1);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return (struct state_blob){copy, copy ? bytes : 0};
}

// ---- ids

void rs_ids_add(struct rs_ids *ids, struct rs_call *c, size_t at)
{
    const redisReply *array = rs_array_at(c, c->reply, at, "ids");
    mem_grow(&ids->at, &ids->capacity, ids->count + rs_size(array) + 1, sizeof *ids->at);
    for (size_t i = 0; i < rs_size(array); i++)
        ids->at[ids->count++] = rs_u64_at(c, array, i, "id");
}

int rs_compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int rs_ids_give(struct rs_ids *ids, int code, size_t max, struct arena *a, uint64_t **out, size_t *count,
                struct nrpc_status *st)
{
    size_t kept = 0;
    if (ids->count)
        qsort(ids->at, ids->count, sizeof *ids->at, rs_compare_ids);
    for (size_t i = 0; i < ids->count && kept < max; i++)
        if (!kept || ids->at[i] != ids->at[kept - 1])
            ids->at[kept++] = ids->at[i];
    *count = code ? 0 : kept;
    *out = code ? NULL : arena_alloc(a, (kept + 1) * sizeof **out);
    if (*out && kept)
        memcpy(*out, ids->at, kept * sizeof **out);
    free(ids->at);
    if (code == NRPC_OK && !*out)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
    return code;
}
