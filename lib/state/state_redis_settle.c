// SPDX-License-Identifier: Apache-2.0
// state_redis_settle.c: what becomes of leased subtasks; refs in runs, packed tiles.
#include "base/log.h"
#include "state/state_redis_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- refs in runs

static bool joins(const struct rs_run *run, const struct state_ref *ref, uint32_t place)
{
    return run->task == ref->task && run->tile == (ref->seq - 1) / RS_TILE && run->attempt == ref->attempt &&
           !(run->mask & place);
}

static bool is_same_holder(const struct state_holder *a, const struct state_holder *b)
{
    return a->node == b->node && a->session == b->session;
}

// Whether the second of two refs may begin another run, wherever the first one lies in its own.
static bool may_part(const struct state_ref *a, const struct state_ref *b)
{
    return a->task != b->task || a->attempt != b->attempt || b->seq <= a->seq ||
           (a->seq - 1) / RS_TILE != (b->seq - 1) / RS_TILE;
}

size_t rs_slice(const struct state_ref *refs, const struct state_holder *by, size_t count)
{
    size_t n = 0, runs = 0;
    for (; n < count && runs <= RS_CALL_RUNS; n++)
        runs += !n || may_part(&refs[n - 1], &refs[n]) || (by && !is_same_holder(&by[n - 1], &by[n]));
    return runs > RS_CALL_RUNS ? n - 1 : n;
}

struct rs_run *rs_runs(struct rs_call *c, const struct state_ref *refs, const struct state_holder *by,
                       size_t count, size_t *run_count)
{
    struct rs_run *runs = rs_scratch(c, (count + 1) * sizeof *runs);
    size_t n = 0, last = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct state_ref *ref = &refs[i];
        if (!ref->seq || rs_shard_of(c->shard->store, ref->task) != c->shard)
            continue;
        uint32_t place = UINT32_C(1) << (ref->seq - 1) % RS_TILE;
        if (!n || last + 1 != i || !joins(&runs[n - 1], ref, place) ||
            (by && !is_same_holder(&by[i], &by[last])))
            runs[n++] = (struct rs_run){ref->task, (ref->seq - 1) / RS_TILE, ref->attempt, 0, i, 0};
        runs[n - 1].mask |= place;
        runs[n - 1].count++;
        last = i;
    }
    *run_count = n;
    return runs;
}

static void put_run(struct rs_call *c, const struct rs_run *run)
{
    rs_u64(c, run->task);
    rs_u64(c, run->tile);
    rs_u64(c, run->attempt);
    rs_i64(c, (int32_t)run->mask);
}

void rs_put_runs(struct rs_call *c, const struct rs_run *runs, size_t count)
{
    rs_u64(c, count);
    for (size_t i = 0; i < count; i++)
        put_run(c, &runs[i]);
}

size_t rs_run_find(const struct rs_run *run, const struct state_ref *refs, unsigned place)
{
    for (size_t i = run->first; i < run->first + run->count; i++)
        if ((refs[i].seq - 1) % RS_TILE == place)
            return i;
    return SIZE_MAX;
}

// ---- packed tiles

enum { PIECE_HEAD = 6 };

static uint32_t read_u32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

void rs_ruin(struct rs_shard *shard, uint64_t task, const char *key, const char *what)
{
    char text[200];
    struct rs_call c;
    struct nrpc_status st;
    rs_begin(&c, shard, RS_SEEN, NULL, &st);
    rs_u64(&c, task);
    snprintf(text, sizeof text, "%s:%s:%llu: %s", shard->prefix, key, (unsigned long long)task, what);
    rs_text(&c, text);
    if (rs_finish(&c, SCRIPT_ruin)) // whoever meets it next tries again
        log_warn("task %llu is damaged (%s): %s", (unsigned long long)task, text, st.text);
}

bool rs_each_piece(const redisReply *pieces, rs_piece_fn fn, void *user)
{
    if (pieces->type != REDIS_REPLY_STRING)
        return false;
    const char *at = pieces->str, *end = at + pieces->len;
    while (end - at >= PIECE_HEAD) {
        unsigned first = (unsigned char)at[0], count = (unsigned char)at[1];
        const char *lengths = at + PIECE_HEAD, *body = lengths + 4 * count;
        uint32_t all = read_u32(at + 2);
        if ((size_t)(end - lengths) < 4 * (size_t)count || (size_t)(end - body) < all)
            return false;
        for (unsigned i = 0; i < count; i++) {
            uint32_t bytes = read_u32(lengths + 4 * i);
            if (bytes > all)
                return false;
            fn(user, first + i, body, bytes);
            body += bytes;
            all -= bytes;
        }
        at = body;
        if (all)
            return false;
    }
    return at == end;
}

// ---- peeking

struct peeking {
    struct rs_call *c;
    const struct state_ref *refs;
    const struct rs_run *run;
    struct state_peek *out, like;
};

static void add_peek(void *user, unsigned place, const void *data, size_t bytes)
{
    struct peeking *p = user;
    size_t i = rs_run_find(p->run, p->refs, place);
    if (i == SIZE_MAX)
        return;
    p->out[i] = p->like;
    p->out[i].param = rs_out_blob(p->c, data, bytes);
}

// What of it was damaged is nobody's.
static void forget_peek(struct peeking *p, uint64_t task)
{
    for (size_t i = p->run->first; i < p->run->first + p->run->count; i++)
        p->out[i] = (struct state_peek){0};
    rs_ruin(p->c->shard, task, "p", "parameters are not as they were stored");
}

static void put_questions(struct rs_call *c, const struct rs_run *runs, size_t count,
                          const struct state_holder *by)
{
    const struct state_holder anybody = {0};
    rs_u64(c, count);
    for (size_t i = 0; i < count; i++) {
        const struct state_holder *who = by ? &by[runs[i].first] : &anybody;
        put_run(c, &runs[i]);
        rs_u64(c, who->node);
        rs_u64(c, who->session);
    }
}

static int peek_shard(struct rs_shard *shard, const struct state_ref *refs, const struct state_holder *by,
                      size_t count, struct arena *a, struct state_peek *out, struct nrpc_status *st)
{
    enum { RUN, TYPE, MASK, TIMEOUT, STOPPING, PIECES, FIELDS };
    struct rs_call c;
    size_t n;
    rs_begin(&c, shard, RS_SEEN, a, st);
    struct rs_run *runs = rs_runs(&c, refs, by, count, &n);
    if (!n)
        return rs_end(&c);
    put_questions(&c, runs, n, by);
    rs_do(&c, SCRIPT_peek);
    const redisReply *parts = rs_array_at(&c, c.reply, RS_REPLY, "parts");
    for (size_t i = 0; i + FIELDS <= rs_size(parts) && !c.code; i += FIELDS) {
        const struct rs_run *run =
            &runs[rs_small_at(&c, parts, i + RUN, "question", 0, n < INT_MAX ? (int)n - 1 : INT_MAX)];
        struct peeking p = {&c, refs, run, out, {.current = true}};
        p.like.type = rs_text_at(&c, parts, i + TYPE, "type");
        p.like.timeout_ms = rs_u32_at(&c, parts, i + TIMEOUT, "timeout");
        p.like.stopping = rs_small_at(&c, parts, i + STOPPING, "stopping", 0, 1);
        if (!rs_each_piece(rs_at(parts, i + PIECES), add_peek, &p))
            forget_peek(&p, refs[run->first].task);
    }
    return rs_end(&c);
}

int rs_peek(struct state *s, const struct state_ref *refs, const struct state_holder *by, size_t count,
            struct arena *a, struct state_peek *out, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    int code = NRPC_OK;
    memset(out, 0, count * sizeof *out);
    for (size_t at = 0, n; code == NRPC_OK && at < count; at += n) {
        const struct state_holder *who = by ? by + at : NULL;
        n = rs_slice(refs + at, who, count - at);
        for (size_t i = 0; code == NRPC_OK && i < store->shard_count;
             i++) // all or none: its refs are of one task
            code = peek_shard(&store->shards[i], refs + at, who, n, a, out + at, st);
    }
    return code;
}

// ---- settling

enum { ITEM_HEAD = 29 }; // result.lua's ITEM

static void put_field(char **at, const void *value, size_t bytes)
{
    *at = mempcpy(*at, value, bytes);
}

static enum model_kind kind_of(const struct state_settle *e, const char **message)
{
    bool again = e->again && e->kind == MODEL_SUCCESS;
    *message = e->message;
    if (again && (!e->message || !*e->message))
        *message = "after_execution said that it is not finished";
    return again ? MODEL_FAILURE : e->kind;
}

static size_t item_bytes(const struct state_settle *e)
{
    const char *message;
    kind_of(e, &message);
    return ITEM_HEAD + (message ? strlen(message) : 0) + e->body.bytes;
}

static char *write_item(char *at, const struct state_settle *e)
{
    const char *message;
    unsigned char kind = (unsigned char)kind_of(e, &message);
    uint32_t length = message ? (uint32_t)strlen(message) : UINT32_MAX;
    put_field(&at, &kind, 1);
    put_field(&at, &e->ref.seq, 8);
    put_field(&at, &e->ref.attempt, 4);
    put_field(&at, &e->code, 4);
    put_field(&at, &e->run_us, 8);
    put_field(&at, &length, 4);
    if (message)
        put_field(&at, message, length);
    if (e->body.bytes)
        put_field(&at, e->body.data, e->body.bytes);
    return at;
}

static _Atomic uint64_t *keep_slot(struct rs_store *store, uint64_t task)
{
    return &store->keeps[task % RS_KEEPS];
}

static bool is_plain(const struct state_settle *e)
{
    return e->kind == MODEL_SUCCESS && !e->again && !e->followup_count;
}

struct settling {
    struct rs_call c;
    const struct state_settle *entries;
    struct rs_run *runs; // one an entry of the script
    size_t run_count;
};

static void put_many(struct settling *w, const struct rs_run *run)
{
    struct rs_call *c = &w->c;
    const struct state_settle *e = &w->entries[run->first];
    uint64_t kept = atomic_load(keep_slot(c->shard->store, run->task));
    bool bare = kept >> 1 == run->task && !(kept & 1);
    size_t bytes = 0;
    int64_t sum_us = 0, *times = rs_scratch(c, run->count * 8);
    unsigned char *places = rs_scratch(c, run->count);
    uint32_t *lengths = rs_scratch(c, run->count * 4);
    for (size_t i = 0; i < run->count; i++) {
        times[i] = e[i].run_us;
        sum_us += e[i].run_us;
        places[i] = (unsigned char)((e[i].ref.seq - 1) % RS_TILE);
        lengths[i] = (uint32_t)item_bytes(&e[i]);
        bytes += lengths[i];
    }
    char *items = rs_scratch(c, bare ? 0 : bytes), *at = items;
    for (size_t i = 0; i < run->count && !bare; i++)
        at = write_item(at, &e[i]);
    rs_i64(c, (int32_t)run->mask);
    rs_i64(c, sum_us);
    rs_bytes(c, times, run->count * 8);
    rs_bytes(c, places, run->count);
    rs_bytes(c, lengths, bare ? 0 : run->count * 4);
    rs_bytes(c, items, bare ? 0 : bytes);
}

static void put_one(struct settling *w, const struct rs_run *run)
{
    struct rs_call *c = &w->c;
    const struct state_settle *e = &w->entries[run->first];
    const char *message;
    size_t bytes = item_bytes(e);
    char *item = rs_scratch(c, bytes);
    write_item(item, e);
    rs_u64(c, (e->ref.seq - 1) % RS_TILE);
    rs_u64(c, kind_of(e, &message));
    rs_i64(c, e->run_us);
    rs_bytes(c, item, bytes);
    rs_batch(c, e->followups, e->followup_count);
}

// The entries of this shard, from `first` on, in runs: successes that share tile, attempt and node together.
static void make_runs(struct settling *w, size_t first, size_t count)
{
    struct rs_run *runs = rs_scratch(&w->c, (count + 1) * sizeof *runs);
    size_t n = 0, last = SIZE_MAX;
    for (size_t i = first; i < first + count; i++) {
        const struct state_settle *e = &w->entries[i];
        if (!e->ref.seq || rs_shard_of(w->c.shard->store, e->ref.task) != w->c.shard)
            continue;
        uint32_t place = UINT32_C(1) << (e->ref.seq - 1) % RS_TILE;
        bool join = n && last + 1 == i && is_plain(e) && is_plain(&w->entries[last]) &&
                    is_same_holder(&e->by, &w->entries[last].by) && joins(&runs[n - 1], &e->ref, place);
        if (!join)
            runs[n++] = (struct rs_run){e->ref.task, (e->ref.seq - 1) / RS_TILE, e->ref.attempt, 0, i, 0};
        runs[n - 1].mask |= place;
        runs[n - 1].count++;
        last = i;
    }
    w->runs = runs;
    w->run_count = n;
}

static void read_verdicts(struct settling *w, enum state_verdict *verdicts)
{
    struct rs_call *c = &w->c;
    const redisReply *answers = rs_array_at(c, c->reply, RS_REPLY, "verdicts");
    const redisReply *keeps = rs_array_at(c, c->reply, RS_REPLY + 1, "keeps");
    for (size_t r = 0; r < w->run_count; r++) {
        const struct rs_run *run = &w->runs[r];
        const struct state_settle *e = &w->entries[run->first];
        uint32_t answer = rs_mask_at(c, answers, r, "verdict");
        if (!is_plain(e))
            verdicts[run->first] = (enum state_verdict)answer;
        for (size_t i = 0; is_plain(e) && i < run->count; i++) {
            uint32_t place = UINT32_C(1) << (e[i].ref.seq - 1) % RS_TILE;
            verdicts[run->first + i] = answer & place ? STATE_SETTLED : STATE_STALE;
        }
        if (answer)
            atomic_store(keep_slot(w->c.shard->store, run->task),
                         run->task << 1 | (uint64_t)rs_small_at(c, keeps, r, "keep", 0, 1));
    }
}

static int settle_some(struct rs_shard *shard, int64_t now_ms, const struct state_settle *entries,
                       size_t first, size_t count, enum state_verdict *verdicts, struct nrpc_status *st)
{
    struct settling w = {.entries = entries};
    rs_begin(&w.c, shard, now_ms, NULL, st);
    make_runs(&w, first, count);
    if (!w.run_count)
        return rs_end(&w.c);
    rs_u64(&w.c, w.run_count);
    for (size_t r = 0; r < w.run_count; r++) {
        const struct rs_run *run = &w.runs[r];
        bool plain = is_plain(&entries[run->first]);
        rs_u64(&w.c, run->task);
        rs_u64(&w.c, run->tile);
        rs_u64(&w.c, run->attempt);
        rs_u64(&w.c, entries[run->first].by.node);
        rs_u64(&w.c, entries[run->first].by.session);
        rs_text(&w.c, plain ? "many" : "one");
        (plain ? put_many : put_one)(&w, run);
    }
    if (rs_do(&w.c, SCRIPT_settle) == NRPC_OK)
        read_verdicts(&w, verdicts);
    return rs_end(&w.c);
}

static bool is_joined(const struct state_settle *a, const struct state_settle *b)
{
    return is_plain(a) && is_plain(b) && is_same_holder(&a->by, &b->by) && !may_part(&a->ref, &b->ref);
}

static size_t entry_bytes(const struct state_settle *e)
{
    size_t bytes = item_bytes(e);
    for (size_t i = 0; i < e->followup_count; i++)
        bytes += e->followups[i].param.bytes + 16;
    return bytes;
}

int rs_settle_batch(struct state *s, int64_t now_ms, const struct state_settle *entries, size_t count,
                    enum state_verdict *verdicts, struct nrpc_status *st)
{
    const struct rs_store *store = (struct rs_store *)s;
    int code = NRPC_OK;
    for (size_t i = 0; i < count; i++) {
        verdicts[i] = STATE_UNHEARD;
        if (entries[i].kind < MODEL_SUCCESS || entries[i].kind > MODEL_LOST)
            return status_set(st, NRPC_INVALID_ARGUMENT, "%d is no kind of result", (int)entries[i].kind);
    }
    bool heard = !count;
    for (size_t first = 0, n; code == NRPC_OK && first < count; first += n) {
        size_t bytes = entry_bytes(&entries[first]), runs = 1;
        for (n = 1; first + n < count && n < RS_CALL_ITEMS && bytes < RS_CALL_BYTES && runs < RS_CALL_RUNS;
             n++) {
            bytes += entry_bytes(&entries[first + n]);
            runs += !is_joined(&entries[first + n - 1], &entries[first + n]);
        }
        struct rs_round round = rs_round(s, st);
        for (struct rs_shard *shard; (shard = rs_next(&round));) {
            int answer = settle_some(shard, now_ms, entries, first, n, verdicts, st);
            for (size_t i = first; answer == NRPC_OK && i < first + n; i++)
                if (verdicts[i] == STATE_UNHEARD && rs_shard_of(store, entries[i].ref.task) == shard)
                    verdicts[i] = STATE_STALE; // there is no such subtask
            rs_note(&round, answer);
        }
        code = rs_round_any(&round);
        heard |= round.answered > 0;
    }
    return code == NRPC_UNAVAILABLE && heard ? NRPC_OK : code;
}
