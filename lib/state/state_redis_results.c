// SPDX-License-Identifier: Apache-2.0
// state_redis_results.c: kept results and listed failures.
#include "state/state_redis_internal.h"

#include <string.h>

struct reader {
    const char *at;
    size_t left;
    bool broken;
};

static const char *take(struct reader *r, size_t bytes)
{
    r->broken |= bytes > r->left;
    const char *at = r->at;
    if (r->broken)
        return NULL;
    r->at += bytes;
    r->left -= bytes;
    return at;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
    uint64_t value = 0;
    const char *at = take(r, bytes);
    if (at)
        memcpy(&value, at, bytes);
    return value;
}

static struct state_blob take_blob(struct rs_call *c, struct reader *r, size_t bytes)
{
    const char *at = take(r, bytes);
    return at && bytes ? rs_out_blob(c, at, bytes) : (struct state_blob){0};
}

// As result.lua's item_keep writes it.
static void read_item(struct rs_call *c, const redisReply *item, uint64_t position, struct state_result *out)
{
    struct reader r = {item->str, item->type == REDIS_REPLY_STRING ? item->len : 0, false};
    *out = (struct state_result){.position = position, .segment = take_number(&r, 4)};
    out->param = take_blob(c, &r, take_number(&r, 4));
    out->kind = (enum model_kind)take_number(&r, 1);
    out->seq = take_number(&r, 8);
    out->attempt = (uint32_t)take_number(&r, 4);
    out->code = (int32_t)take_number(&r, 4);
    out->run_us = (int64_t)take_number(&r, 8);
    uint32_t length = (uint32_t)take_number(&r, 4);
    if (length != UINT32_MAX) {
        const char *text = take(&r, length);
        char *copy = text ? rs_out(c, (size_t)length + 1, 1) : NULL;
        if (copy) {
            memcpy(copy, text, length);
            copy[length] = 0;
            out->message = copy;
        }
    }
    out->body = take_blob(c, &r, r.left);
    if (r.broken || out->kind < MODEL_SUCCESS || out->kind > MODEL_LOST)
        rs_surprise(c, item, "result");
}

static void read_items(struct rs_call *c, const char *key, uint64_t task, const redisReply *items,
                       uint64_t first, struct state_result **out, size_t *count)
{
    *count = rs_size(items);
    *out = rs_out(c, *count + 1, sizeof **out);
    for (size_t i = 0; i < *count && !c->code; i++)
        read_item(c, rs_at(items, i), first + i, &(*out)[i]);
    if (c->code == NRPC_DATA_LOSS) { // as a script answers that has found it
        rs_ruin(c->shard, task, key, "an entry is no result");
        c->code =
            status_set(c->st, NRPC_NOT_FOUND, "task %llu is not under way: what was here of it is damaged",
                       (unsigned long long)task);
    }
}

int rs_results(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
               struct state_result **out, size_t *count, bool *end, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, a, st);
    rs_u64(&c, task);
    rs_u64(&c, model_after(after));
    rs_u64(&c, max < INT32_MAX ? max : INT32_MAX);
    if (rs_do(&c, SCRIPT_results) == NRPC_OK) {
        read_items(&c, "r", task, rs_array_at(&c, c.reply, RS_REPLY + 1, "results"),
                   rs_u64_at(&c, c.reply, RS_REPLY, "position"), out, count);
        *end = rs_small_at(&c, c.reply, RS_REPLY + 2, "end", 0, 1);
    }
    return rs_end(&c);
}

int rs_failures(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
                struct state_result **out, size_t *count, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, a, st);
    rs_u64(&c, task);
    rs_u64(&c, model_after(after));
    rs_u64(&c, max < INT32_MAX ? max : INT32_MAX);
    if (rs_do(&c, SCRIPT_failures) == NRPC_OK)
        read_items(&c, "f", task, rs_array_at(&c, c.reply, RS_REPLY, "failures"), after + 1, out, count);
    return rs_end(&c);
}
