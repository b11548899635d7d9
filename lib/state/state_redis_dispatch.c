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

enum { TAKERS_MAX = 64, LEASES_MAX = 2000 }; // in one script

struct leased { // to one node
    struct state_work *works;
    size_t count, capacity;
    bool unverified; // a shard that is has refused to give it something
};

struct leasing {
    struct rs_call *c;
    struct state_taker *to;
    struct leased *leased;
    struct state_work like; // what the works of a part share
    uint64_t first;         // the seq of a tile's first place
};

static void add_work(void *user, unsigned place, const void *data, size_t bytes)
{
    struct leasing *l = user;
    struct leased *to = l->leased;
    mem_grow(&to->works, &to->capacity, to->count + 1, sizeof *to->works);
    struct state_work *w = &to->works[to->count++];
    *w = l->like;
    w->seq = l->first + place;
    w->param = rs_out_blob(l->c, data, bytes);
    l->to->budget.used += bytes;
}

static void read_parts(struct leasing *l, const redisReply *parts)
{
    enum { TASK, TYPE, TILE, MASK, ATTEMPT, TIMEOUT, PIECES, FIELDS };
    for (size_t i = 0; i + FIELDS <= rs_size(parts); i += FIELDS) {
        size_t before = l->leased->count;
        uint64_t task = rs_u64_at(l->c, parts, i + TASK, "task");
        if (task != l->like.task)
            l->like.type = rs_text_at(l->c, parts, i + TYPE, "type");
        l->like.task = task;
        l->like.attempt = rs_u32_at(l->c, parts, i + ATTEMPT, "attempt");
        l->like.timeout_ms = rs_u32_at(l->c, parts, i + TIMEOUT, "timeout");
        l->first = rs_u64_at(l->c, parts, i + TILE, "tile") * RS_TILE + 1;
        if (!rs_each_piece(rs_at(parts, i + PIECES), add_work, l)) { // it goes to nobody
            l->leased->count = before;
            rs_ruin(l->c->shard, task, "p", "parameters are not as they were stored");
        }
    }
}

static size_t picks_of(const struct rs_shard *shard, const struct state_taker *to)
{
    size_t n = 0;
    for (size_t i = 0; i < to->pick_count; i++)
        n += rs_shard_of(shard->store, to->picks[i].task) == shard;
    return n;
}

// The shard's picks from number `done` on found no room; `no_room` of that one.
static void note_left(const struct rs_shard *shard, struct state_taker *to, uint64_t done, uint64_t no_room)
{
    uint64_t number = 0;
    for (size_t i = 0; i < to->pick_count; i++) {
        if (rs_shard_of(shard->store, to->picks[i].task) != shard)
            continue;
        uint64_t left = number < done ? 0 : number == done ? no_room : UINT32_MAX;
        to->left[i] = left < to->picks[i].count ? (uint32_t)left : to->picks[i].count;
        number++;
    }
}

static void put_taker(struct rs_call *c, const struct state_taker *to, size_t picks)
{
    rs_u64(c, to->node);
    rs_u64(c, to->most);
    rs_u64(c, to->budget.bytes - to->budget.used);
    rs_u64(c, picks);
    for (size_t i = 0; i < to->pick_count; i++)
        if (rs_shard_of(c->shard->store, to->picks[i].task) == c->shard) {
            rs_u64(c, to->picks[i].task);
            rs_u64(c, to->picks[i].count);
        }
}

static void read_taker(struct rs_call *c, struct state_taker *to, struct leased *leased,
                       const redisReply *answer)
{
    enum { CODE, PARTS, DONE, REST };
    struct leasing l = {.c = c, .to = to, .leased = leased};
    int code = rs_small_at(c, answer, CODE, "code", 0, NRPC_UNAUTHENTICATED);
    if (code) {
        status_set(c->st, code, "%s", rs_text_at(c, answer, PARTS, "why"));
        leased->unverified |= code == NRPC_FAILED_PRECONDITION;
        to->code = code == NRPC_FAILED_PRECONDITION ? NRPC_OK : code;
        note_left(c->shard, to, 0, UINT32_MAX);
        return;
    }
    read_parts(&l, rs_array_at(c, answer, PARTS, "parts"));
    note_left(c->shard, to, rs_u64_at(c, answer, DONE, "picks done"), rs_u64_at(c, answer, REST, "rest"));
}

// Those that this shard has something for, as many as one script may have; *at: the first, then who comes
// next.
static size_t choose(const struct rs_shard *shard, struct state_taker *takers, size_t count, bool is_first,
                     size_t *at, size_t chosen[TAKERS_MAX])
{
    size_t n = 0;
    uint64_t leases = 0;
    size_t tasks = 0;
    for (; *at < count && n < TAKERS_MAX && leases < LEASES_MAX && tasks < RS_CALL_RUNS; ++*at) {
        struct state_taker *to = &takers[*at];
        size_t picks = picks_of(shard, to);
        if (to->code || (!picks && !(is_first && !to->pick_count)))
            continue;
        if (picks && budget_is_full(&to->budget)) {
            note_left(shard, to, 0, UINT32_MAX);
            continue;
        }
        for (size_t i = 0; i < to->pick_count; i++)
            leases += to->picks[i].count;
        tasks += picks;
        chosen[n++] = *at;
    }
    return n;
}

// A taker that failed at one shard asks no other. Returns how many were answered: what they got may be as
// much as one script gives; at least one, so that the rest can be asked for.
static size_t lease_some(struct rs_shard *shard, struct state_taker *takers, struct leased *leased,
                         const size_t *chosen, size_t n, int64_t now_ms, struct arena *a,
                         struct nrpc_status *st)
{
    struct rs_call c;
    size_t answered = n;
    rs_begin(&c, shard, now_ms, a, st);
    rs_u64(&c, n);
    for (size_t i = 0; i < n; i++)
        put_taker(&c, &takers[chosen[i]], picks_of(shard, &takers[chosen[i]]));
    if (rs_do(&c, SCRIPT_lease) == NRPC_OK) {
        const redisReply *answers = rs_array_at(&c, c.reply, RS_REPLY, "answers");
        answered = rs_size(answers) && rs_size(answers) < n ? rs_size(answers) : n;
        for (size_t i = 0; i < answered && !c.code; i++)
            read_taker(&c, &takers[chosen[i]], &leased[chosen[i]], rs_array_at(&c, answers, i, "answer"));
    }
    int code = rs_end(&c);
    for (size_t i = 0; i < n && code; i++) // it may have been done
        takers[chosen[i]].code = code;
    return code ? n : answered;
}

static int give_leased(struct state_taker *takers, struct leased *leased, size_t count, struct arena *a,
                       struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < count; i++) {
        struct state_taker *to = &takers[i];
        if (!to->code && leased[i].unverified && !leased[i].count)
            to->code = NRPC_FAILED_PRECONDITION;
        to->count = to->code ? 0 : leased[i].count;
        to->work = arena_dup(a, leased[i].works, to->count * sizeof *to->work);
        if (!to->work && to->count)
            to->code =
                status_set(st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
        if (!code && to->code != NRPC_NOT_FOUND)
            code = to->code;
        free(leased[i].works);
    }
    free(leased);
    return code;
}

static void prepare(struct state_taker *to, struct arena *a, struct nrpc_status *st)
{
    to->code = NRPC_OK;
    to->budget.bytes = to->budget.bytes ? to->budget.bytes : STATE_BATCH_BYTES;
    to->left = arena_calloc(a, (to->pick_count + 1) * sizeof *to->left);
    if (!to->left)
        to->code = status_set(st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
}

int rs_lease(struct state *s, int64_t now_ms, struct state_taker *takers, size_t count, struct arena *a,
             struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct leased *leased = mem_calloc(count + 1, sizeof *leased);
    for (size_t i = 0; i < count; i++)
        prepare(&takers[i], a, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        size_t chosen[TAKERS_MAX] = {0}, at = 0, n;
        while ((n = choose(shard, takers, count, round.asked == 1, &at, chosen)) > 0) {
            size_t answered = lease_some(shard, takers, leased, chosen, n, now_ms, a, st);
            at = answered < n ? chosen[answered] : at;
        }
    }
    int code = rs_round_end(&round);
    for (size_t i = 0; i < count && code; i++) // none was asked
        takers[i].code = code;
    return give_leased(takers, leased, count, a, st);
}

// ---- coming back

// A script over leases of one holder: with `first` (NULL: it takes none), a time, the holder (NULL: any), the
// leases.
static int do_leases(struct state *s, enum redis_script_id script, const uint64_t *first, int64_t ms,
                     const struct state_holder *by, const struct state_ref *refs, size_t count,
                     struct nrpc_status *st)
{
    static const struct state_holder any;
    const struct state_holder *who = by ? by : &any;
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        int code = NRPC_OK;
        for (size_t at = 0, len, n; at < count && code == NRPC_OK; at += len) {
            struct rs_call c;
            len = rs_slice(refs + at, NULL, count - at);
            rs_begin(&c, shard, RS_SEEN, NULL, st);
            struct rs_run *runs = rs_runs(&c, refs + at, NULL, len, &n);
            if (first)
                rs_u64(&c, *first);
            rs_time(&c, ms);
            rs_u64(&c, who->node);
            rs_u64(&c, who->session);
            rs_put_runs(&c, runs, n);
            code = n ? rs_finish(&c, script) : rs_end(&c);
        }
        rs_note(&round, code);
    }
    return rs_round_end(&round);
}

int rs_requeue(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
               enum state_requeue_reason reason, int64_t ready_ms, struct nrpc_status *st)
{
    return do_leases(s, SCRIPT_requeue, &(uint64_t){reason}, ready_ms, by, refs, count, st);
}

int rs_extend(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
              int64_t until_ms, struct nrpc_status *st)
{
    return do_leases(s, SCRIPT_extend, NULL, until_ms, by, refs, count, st);
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
