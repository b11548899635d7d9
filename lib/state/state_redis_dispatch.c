// SPDX-License-Identifier: Apache-2.0
// state_redis_dispatch.c: how subtasks get out: views for schedulers, leases, and what comes back unrun or
// never.
#include "state/state_redis_internal.h"

#include <stdlib.h>
#include <string.h>

// ---- views

struct viewing {
    struct state_view *at;
    size_t count, capacity;
};

static void read_views(struct rs_call *c, struct viewing *v, const redisReply *rows)
{
    for (size_t i = 0; i + 1 < rs_size(rows) && !c->code; i += 2) {
        struct state_hint hint;
        unsigned bits;
        struct state_blob text = rs_blob_at(c, rows, i + 1, "view");
        const char *at = text.data;
        if (!at)
            return;
        if (!rs_read_view(&at, at + text.bytes, &hint, &bits)) {
            rs_surprise(c, rs_at(rows, i), "view");
            return;
        }
        mem_grow(&v->at, &v->capacity, v->count + 1, sizeof *v->at);
        v->at[v->count++] = hint.view;
    }
}

int rs_views(struct state *s, int64_t now_ms, uint64_t after, size_t max, struct arena *a,
             struct state_view **out, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct viewing v = {0};
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, now_ms, a, st);
        rs_u64(&c, model_after(after));
        rs_u64(&c, max < INT32_MAX ? max : INT32_MAX);
        if (rs_do(&c, SCRIPT_views) == NRPC_OK)
            read_views(&c, &v, rs_array_at(&c, c.reply, RS_REPLY, "views"));
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_any(&round);
    if (v.count)
        qsort(v.at, v.count, sizeof *v.at, rs_compare_ids); // a view begins with its task
    *count = v.count < max ? v.count : max;
    *out = code ? NULL : arena_dup(a, v.at, *count * sizeof *v.at);
    free(v.at);
    return code;
}

// ---- leasing

struct leasing {
    struct rs_call *c;
    struct state_work *works;
    size_t count, capacity;
    struct state_work like; // what the works of a part share
    uint64_t first;         // the seq of a tile's first place
    struct budget *budget;
    uint32_t *left;
};

static void add_work(void *user, unsigned place, const void *data, size_t bytes)
{
    struct leasing *l = user;
    mem_grow(&l->works, &l->capacity, l->count + 1, sizeof *l->works);
    struct state_work *w = &l->works[l->count++];
    *w = l->like;
    w->seq = l->first + place;
    w->param = rs_out_blob(l->c, data, bytes);
    l->budget->used += bytes;
}

static void read_parts(struct leasing *l, const redisReply *parts)
{
    enum { TASK, TYPE, TILE, MASK, ATTEMPT, TIMEOUT, PIECES, FIELDS };
    for (size_t i = 0; i + FIELDS <= rs_size(parts); i += FIELDS) {
        size_t before = l->count;
        uint64_t task = rs_u64_at(l->c, parts, i + TASK, "task");
        if (task != l->like.task)
            l->like.type = rs_text_at(l->c, parts, i + TYPE, "type");
        l->like.task = task;
        l->like.attempt = rs_u32_at(l->c, parts, i + ATTEMPT, "attempt");
        l->like.timeout_ms = rs_u32_at(l->c, parts, i + TIMEOUT, "timeout");
        l->first = rs_u64_at(l->c, parts, i + TILE, "tile") * RS_TILE + 1;
        if (!rs_each_piece(rs_at(parts, i + PIECES), add_work, l)) { // it goes to nobody
            l->count = before;
            rs_ruin(l->c->shard, task, "p", "parameters are not as they were stored");
        }
    }
}

// The shard's picks from number `done` on found no room; `no_room` of that one.
static void note_left(const struct rs_shard *shard, struct leasing *l, const struct state_pick *picks,
                      size_t pick_count, uint64_t done, uint64_t no_room)
{
    uint64_t number = 0;
    for (size_t i = 0; i < pick_count; i++) {
        if (rs_shard_of(shard->store, picks[i].task) != shard)
            continue;
        uint64_t left = number < done ? 0 : number == done ? no_room : UINT32_MAX;
        l->left[i] = left < picks[i].count ? (uint32_t)left : picks[i].count;
        number++;
    }
}

static int lease_shard(struct rs_shard *shard, struct leasing *l, struct state_taker to,
                       const struct state_pick *picks, size_t pick_count, bool must_ask, int64_t now_ms,
                       struct arena *a, struct nrpc_status *st)
{
    struct rs_call c;
    size_t n = 0;
    for (size_t i = 0; i < pick_count; i++)
        n += rs_shard_of(shard->store, picks[i].task) == shard;
    if (!n && !must_ask)
        return NRPC_OK;
    if (n && budget_is_full(l->budget)) {
        if (l->left)
            note_left(shard, l, picks, pick_count, 0, UINT32_MAX);
        return NRPC_OK;
    }
    rs_begin(&c, shard, now_ms, a, st);
    l->c = &c;
    rs_u64(&c, to.node);
    rs_u64(&c, to.most);
    rs_u64(&c, l->budget->bytes - l->budget->used);
    rs_u64(&c, n);
    for (size_t i = 0; i < pick_count; i++)
        if (rs_shard_of(shard->store, picks[i].task) == shard) {
            rs_u64(&c, picks[i].task);
            rs_u64(&c, picks[i].count);
        }
    if (rs_do(&c, SCRIPT_lease) == NRPC_OK) {
        read_parts(l, rs_array_at(&c, c.reply, RS_REPLY, "parts"));
        if (l->left)
            note_left(shard, l, picks, pick_count, rs_u64_at(&c, c.reply, RS_REPLY + 1, "picks done"),
                      rs_u64_at(&c, c.reply, RS_REPLY + 2, "rest"));
    }
    l->c = NULL;
    return rs_end(&c);
}

int rs_lease(struct state *s, struct state_taker to, int64_t now_ms, const struct state_pick *picks,
             size_t pick_count, struct budget *budget, uint32_t *left, struct arena *a,
             struct state_work **out, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct budget own = {.bytes = STATE_BATCH_BYTES};
    struct leasing l = {.budget = budget ? budget : &own, .left = left};
    size_t unverified = 0;
    for (size_t i = 0; left && i < pick_count; i++)
        left[i] = 0;
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        int answer =
            lease_shard(shard, &l, to, picks, pick_count, round.asked == 1 && !pick_count, now_ms, a, st);
        if (answer == NRPC_FAILED_PRECONDITION && left) // it gave nothing
            note_left(shard, &l, picks, pick_count, 0, UINT32_MAX);
        unverified += answer == NRPC_FAILED_PRECONDITION;
        rs_note(&round, answer == NRPC_FAILED_PRECONDITION ? NRPC_OK : answer);
    }
    int code = rs_round_end(&round);
    if (code == NRPC_OK && unverified && !l.count)
        code = NRPC_FAILED_PRECONDITION;
    *count = code ? 0 : l.count;
    *out = code ? NULL : arena_dup(a, l.works, l.count * sizeof *l.works);
    free(l.works);
    return code;
}

// ---- coming back

int rs_requeue(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
               enum state_requeue_reason reason, int64_t ready_ms, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        size_t n;
        rs_begin(&c, shard, RS_SEEN, NULL, st);
        struct rs_run *runs = rs_runs(&c, refs, NULL, count, &n);
        rs_u64(&c, reason);
        rs_time(&c, ready_ms);
        rs_u64(&c, by ? by->node : 0);
        rs_u64(&c, by ? by->session : 0);
        rs_put_runs(&c, runs, n);
        rs_note(&round, n ? rs_finish(&c, SCRIPT_requeue) : rs_end(&c));
    }
    return rs_round_end(&round);
}

int rs_extend(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
              int64_t until_ms, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        size_t n;
        rs_begin(&c, shard, RS_SEEN, NULL, st);
        struct rs_run *runs = rs_runs(&c, refs, NULL, count, &n);
        rs_time(&c, until_ms);
        rs_u64(&c, by->node);
        rs_u64(&c, by->session);
        rs_put_runs(&c, runs, n);
        rs_note(&round, n ? rs_finish(&c, SCRIPT_extend) : rs_end(&c));
    }
    return rs_round_end(&round);
}

int rs_sweep(struct state *s, int64_t now_ms, struct arena *a, uint64_t **lost, size_t *lost_count,
             int64_t *next_ms, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct rs_ids ids = {0};
    *next_ms = CLOCK_NEVER;
    if (rs_check_clock((struct rs_store *)s, st))
        return st->code;
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, now_ms, NULL, st);
        if (rs_do(&c, SCRIPT_sweep) == NRPC_OK) {
            rs_ids_add(&ids, &c, RS_REPLY);
            int64_t next = rs_is_nil(rs_at(c.reply, RS_REPLY + 1))
                               ? CLOCK_NEVER
                               : rs_time_at(&c, c.reply, RS_REPLY + 1, "next sweep");
            *next_ms = next < *next_ms ? next : *next_ms;
        }
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_any(&round);
    return rs_ids_give(&ids, code, SIZE_MAX, a, lost, lost_count, st);
}

int rs_holders(struct state *s, uint64_t task, struct arena *a, uint64_t **nodes, size_t *count,
               struct nrpc_status *st)
{
    struct rs_call c;
    struct rs_ids ids = {0};
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    if (rs_do(&c, SCRIPT_holders) == NRPC_OK)
        rs_ids_add(&ids, &c, RS_REPLY);
    int code = rs_end(&c);
    return rs_ids_give(&ids, code, SIZE_MAX, a, nodes, count, st);
}
