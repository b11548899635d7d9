// SPDX-License-Identifier: Apache-2.0
// state_redis_nodes.c: the nodes there are, in every shard: each shard knows what it leased to whom.
#include "state/state_redis_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rebase_shard(struct rs_shard *shard, int64_t now_ms, int64_t until_ms, struct nrpc_status *st)
{
    uint64_t stage = 0, cursor = 0;
    do {
        struct rs_call c;
        rs_begin(&c, shard, now_ms, NULL, st);
        rs_time(&c, until_ms);
        rs_u64(&c, stage);
        rs_u64(&c, cursor);
        if (rs_do(&c, SCRIPT_rebase) == NRPC_OK) {
            stage = rs_u64_at(&c, c.reply, RS_REPLY, "stage");
            cursor = rs_u64_at(&c, c.reply, RS_REPLY + 1, "cursor");
        }
        if (rs_end(&c))
            return st->code;
    } while (stage);
    return NRPC_OK;
}

int rs_rebase(struct state *s, int64_t now_ms, int64_t until_ms, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    int code = NRPC_OK;
    if (rs_check_clock(store, st))
        return st->code;
    atomic_store(&store->now_ms, now_ms); // what was seen before the jump counts no more
    for (size_t i = 0; i < store->shard_count; i++) {
        struct nrpc_status own;
        if (rebase_shard(&store->shards[i], now_ms, until_ms, &own)) { // the others all the same
            *st = own;
            code = own.code;
        }
    }
    return code;
}

// ---- what a node says it has

// The refs that are this shard's, as arguments.
static struct rs_run *put_holding(struct rs_call *c, const struct state_holding *h, size_t *count)
{
    struct rs_run *runs = rs_runs(c, h ? h->refs : NULL, NULL, h ? h->count : 0, count);
    rs_put_runs(c, runs, *count);
    return runs;
}

// A script's answer: a mask a run of what is kept, and the tasks that are stopping.
static void read_holding(struct rs_call *c, const struct rs_run *runs, size_t count, size_t at,
                         struct state_holding *h, struct rs_ids *stops)
{
    const redisReply *masks = rs_array_at(c, c->reply, at, "masks");
    for (size_t r = 0; r < count; r++)
        for (size_t i = runs[r].first; i < runs[r].first + runs[r].count; i++)
            h->kept[i] = rs_mask_at(c, masks, r, "mask") >> (h->refs[i].seq - 1) % RS_TILE & 1;
    rs_ids_add(stops, c, at + 1);
}

static int begin_holding(struct state_holding *h, struct arena *a, struct nrpc_status *st)
{
    if (!h)
        return NRPC_OK;
    h->stops = NULL;
    h->stop_count = 0;
    h->kept = arena_calloc(a, h->count + 1);
    return h->kept ? NRPC_OK
                   : status_set(st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
}

// What only a server knows that is down stays the node's, until that can be asked.
static void keep_unheard(const struct rs_store *store, struct state_holding *h)
{
    for (size_t i = 0; h && i < h->count; i++)
        h->kept[i] = rs_is_down(rs_shard_of(store, h->refs[i].task));
}

static int end_holding(struct state_holding *h, struct rs_ids *stops, int code, struct arena *a,
                       struct nrpc_status *st)
{
    if (h)
        return rs_ids_give(stops, code, SIZE_MAX, a, &h->stops, &h->stop_count, st);
    free(stops->at);
    return code;
}

// ---- registering

struct adding {
    const struct state_node *node;
    struct state_holding *holding;
    struct rs_ids stops;
    uint64_t id;          // 0: the first server has not given it yet
    uint64_t taken;       // numbers up to this were given before
    uint64_t first, last; // a new reserve; 0: none
};

enum {
    NUMBERS = 1000, // in a reserve
    RENEWALS = 500, // in a script
    NOTES = 100,    // likewise
};

static int add_to(struct rs_shard *shard, struct adding *w, struct nrpc_status *st)
{
    const struct state_node *node = w->node;
    const struct state_holder none = {0}, *former = w->holding ? &w->holding->former : &none;
    struct rs_call c;
    size_t count;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_u64(&c, w->id);
    rs_u64(&c, !shard->store->next_ids);
    rs_u64(&c, w->first);
    rs_u64(&c, w->last);
    rs_u64(&c, node->session);
    rs_u64(&c, former->node);
    rs_u64(&c, former->session);
    rs_text(&c, node->name);
    rs_text(&c, node->host);
    rs_text(&c, node->types);
    rs_u64(&c, node->pid);
    rs_u64(&c, node->slots);
    rs_time(&c, node->lease_until_ms);
    struct rs_run *runs = put_holding(&c, w->holding, &count);
    if (rs_do(&c, SCRIPT_node_add) == NRPC_OK) {
        w->id = rs_u64_at(&c, c.reply, RS_REPLY, "id");
        w->taken = rs_u64_at(&c, c.reply, RS_REPLY + 1, "highest id");
        if (w->holding && w->id)
            read_holding(&c, runs, count, RS_REPLY + 2, w->holding, &w->stops);
    }
    return rs_end(&c);
}

// Numbers from the records, above all that the state has given: the records may have gone back in time.
static int reserve_numbers(struct rs_store *store, struct adding *w, struct nrpc_status *st)
{
    struct model_marks marks = {0};
    uint64_t first = 0, count = NUMBERS;
    int code = rs_marks(&store->state, &marks, st);
    uint64_t taken = w->taken > marks.node ? w->taken : marks.node;
    if (code == NRPC_OK)
        code = store->next_ids(store->user, count, &first, st);
    if (code == NRPC_OK && taken > first && taken - first > UINT32_MAX)
        return status_set(st, NRPC_DATA_LOSS, "node numbers up to %llu were given here before",
                          (unsigned long long)taken);
    if (code == NRPC_OK && first + count <= taken) { // what lies below is given to nobody
        count = taken - first + NUMBERS;
        code = store->next_ids(store->user, count, &first, st);
    }
    if (code)
        return code;
    w->first = first > taken ? first : taken + 1;
    w->last = first + count - 1;
    if (w->last > UINT32_MAX) // what a stored lease has room for
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "4,294,967,295 nodes have been registered here");
    return NRPC_OK;
}

// Only the first shard gives the number; the others take it as it is.
static int add_to_all(struct rs_store *store, struct adding *w, struct nrpc_status *st)
{
    enum { TRIES = 5 }; // others reserve meanwhile
    struct rs_round round = rs_round(&store->state, st);
    struct rs_shard *first = rs_next(&round);
    int code = first ? add_to(first, w, st) : rs_round_end(&round);
    for (int i = 0; first && code == NRPC_OK && !w->id && i < TRIES; i++) {
        code = reserve_numbers(store, w, st);
        if (code == NRPC_OK)
            code = add_to(first, w, st);
    }
    if (code == NRPC_OK && !w->id)
        return status_set(st, NRPC_UNAVAILABLE, "others register too fast; try again");
    if (code)
        return code;
    rs_note(&round, NRPC_OK); // a server that is down hears of the node when it is back: it registers again
    for (struct rs_shard *shard; (shard = rs_next(&round));)
        rs_note(&round, add_to(shard, w, st));
    return rs_round_end(&round);
}

int rs_node_add(struct state *s, const struct state_node *node, struct state_holding *holding,
                struct arena *a, uint64_t *id, struct nrpc_status *st)
{
    struct adding w = {.node = node, .holding = holding};
    int code = begin_holding(holding, a, st);
    if (code == NRPC_OK)
        keep_unheard((struct rs_store *)s, holding);
    if (code == NRPC_OK)
        code = add_to_all((struct rs_store *)s, &w, st);
    *id = w.id;
    return end_holding(holding, &w.stops, code, a, st);
}

static void renew_some(struct rs_round *round, const struct state_renewal *renewals, size_t count,
                       struct rs_ids *gone)
{
    for (struct rs_shard *shard; (shard = rs_next(round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, NULL, round->st);
        rs_u64(&c, count);
        for (size_t k = 0; k < count; k++) {
            rs_u64(&c, renewals[k].node);
            rs_time(&c, renewals[k].until_ms);
            rs_u64(&c, renewals[k].exactly);
        }
        if (rs_do(&c, SCRIPT_node_renew) == NRPC_OK)
            rs_ids_add(gone, &c, RS_REPLY);
        rs_note(round, rs_end(&c));
    }
}

int rs_node_renew(struct state *s, const struct state_renewal *renewals, size_t count, struct arena *a,
                  uint64_t **lost, size_t *lost_count, struct nrpc_status *st)
{
    struct rs_ids gone = {0};
    int code = NRPC_OK;
    for (size_t at = 0; at < count && !code; at += RENEWALS) {
        struct rs_round round = rs_round(s, st);
        renew_some(&round, renewals + at, count - at < RENEWALS ? count - at : RENEWALS, &gone);
        code = rs_round_end(&round);
    }
    return rs_ids_give(&gone, code, SIZE_MAX, a, lost, lost_count, st);
}

static int give_some_grace(struct rs_shard *shard, int64_t until_ms, bool *more, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_time(&c, until_ms);
    *more = rs_do(&c, SCRIPT_node_grace) == NRPC_OK && rs_small_at(&c, c.reply, RS_REPLY, "more", 0, 1);
    return rs_end(&c);
}

int rs_node_grace(struct state *s, int64_t until_ms, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        int code = NRPC_OK;
        for (bool more = true; more && code == NRPC_OK;)
            code = give_some_grace(shard, until_ms, &more, st);
        rs_note(&round, code);
    }
    return rs_round_end(&round);
}

static int note_some(struct rs_shard *shard, const struct state_note *notes, size_t count,
                     struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_u64(&c, count);
    for (size_t i = 0; i < count; i++) {
        rs_u64(&c, notes[i].node);
        rs_u64(&c, notes[i].usable);
        rs_text(&c, notes[i].short_of);
        rs_text(&c, notes[i].quarantine);
    }
    return rs_finish(&c, SCRIPT_node_note);
}

int rs_node_note(struct state *s, const struct state_note *notes, size_t count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        int code = NRPC_OK;
        for (size_t at = 0; at < count && !code; at += NOTES)
            code = note_some(shard, notes + at, count - at < NOTES ? count - at : NOTES, st);
        rs_note(&round, code);
    }
    return rs_round_end(&round);
}

static int return_to(struct rs_shard *shard, struct state_holder who, bool goes, struct state_holding *h,
                     struct rs_ids *stops, struct nrpc_status *st)
{
    struct rs_call c;
    size_t count;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_u64(&c, who.node);
    rs_u64(&c, who.session);
    rs_u64(&c, goes);
    struct rs_run *runs = put_holding(&c, h, &count);
    if (rs_do(&c, SCRIPT_node_return) == NRPC_OK && h)
        read_holding(&c, runs, count, RS_REPLY, h, stops);
    return rs_end(&c);
}

static int return_all(struct rs_store *store, struct state_holder who, bool goes, struct state_holding *h,
                      struct arena *a, struct nrpc_status *st)
{
    struct rs_ids stops = {0};
    struct rs_round round = rs_round(&store->state, st);
    int code = begin_holding(h, a, st);
    if (code == NRPC_OK) {
        keep_unheard(store, h);
        for (struct rs_shard *shard; (shard = rs_next(&round));)
            rs_note(&round, return_to(shard, who, goes, h, &stops, st));
        code = rs_round_end(&round);
    }
    return end_holding(h, &stops, code, a, st);
}

int rs_node_reconcile(struct state *s, struct state_holder who, struct state_holding *holding,
                      struct arena *a, struct nrpc_status *st)
{
    return return_all((struct rs_store *)s, who, false, holding, a, st);
}

int rs_node_remove(struct state *s, struct state_holder who, struct nrpc_status *st)
{
    return return_all((struct rs_store *)s, who, true, NULL, NULL, st);
}

// ---- listing

struct listed {             // what one server says of a node
    struct state_node node; // first member: sorted by its id
    size_t shard;
};

struct listing {
    struct listed *at;
    size_t count, capacity;
};

static void read_node(struct rs_call *c, struct listing *l, size_t shard, const redisReply *row)
{
    mem_grow(&l->at, &l->capacity, l->count + 1, sizeof *l->at);
    l->at[l->count++] = (struct listed){.node = {.id = rs_u64_at(c, row, 0, "id"),
                                                 .lease_until_ms = rs_time_at(c, row, 1, "lease"),
                                                 .name = rs_text_at(c, row, 2, "name"),
                                                 .host = rs_text_at(c, row, 3, "host"),
                                                 .types = rs_text_at(c, row, 4, "types"),
                                                 .pid = rs_u32_at(c, row, 5, "pid"),
                                                 .slots = rs_u32_at(c, row, 6, "slots"),
                                                 .running = rs_u64_at(c, row, 7, "running"),
                                                 .settled = rs_u64_at(c, row, 8, "settled"),
                                                 .session = rs_u64_at(c, row, 9, "session"),
                                                 .usable = rs_u32_at(c, row, 10, "usable"),
                                                 .short_of = rs_text_at(c, row, 11, "short_of"),
                                                 .quarantine = rs_text_at(c, row, 12, "quarantine")},
                                        .shard = shard};
}

static int compare_listed(const void *a, const void *b)
{
    const struct listed *x = a, *y = b;
    if (x->node.id != y->node.id)
        return x->node.id < y->node.id ? -1 : 1;
    return x->shard < y->shard ? -1 : x->shard > y->shard;
}

// The first server asked tells about a node; of all, what it holds is added up, and the shortest lease
// counts. Returns how many there are.
static size_t merge_listed(struct listing *l)
{
    size_t count = 0, last = 0; // last: the one looked at before
    if (l->count)
        qsort(l->at, l->count, sizeof *l->at, compare_listed);
    for (size_t i = 0; i < l->count; last = i++) {
        struct state_node *sum = count ? &l->at[count - 1].node : NULL, *n = &l->at[i].node;
        bool again = i && n->id == l->at[last].node.id;
        if (!again) {
            l->at[count++] = l->at[i];
        } else if (l->at[i].shard != l->at[last].shard) {
            sum->lease_until_ms =
                n->lease_until_ms < sum->lease_until_ms ? n->lease_until_ms : sum->lease_until_ms;
            sum->running += n->running;
            sum->settled += n->settled;
        }
    }
    return count;
}

static int list_shard(struct rs_shard *shard, size_t number, struct listing *l, struct arena *a,
                      struct nrpc_status *st)
{
    uint64_t stage = 0;
    char cursor[24] = "0";
    int code;
    do {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, a, st);
        rs_u64(&c, stage);
        rs_text(&c, cursor);
        if (rs_do(&c, SCRIPT_nodes) == NRPC_OK) {
            const redisReply *rows = rs_array_at(&c, c.reply, RS_REPLY + 2, "nodes");
            stage = rs_u64_at(&c, c.reply, RS_REPLY, "stage");
            snprintf(cursor, sizeof cursor, "%llu",
                     (unsigned long long)rs_u64_at(&c, c.reply, RS_REPLY + 1, "cursor"));
            for (size_t k = 0; k < rs_size(rows) && !c.code; k++)
                read_node(&c, l, number, rs_at(rows, k));
        }
        code = rs_end(&c);
    } while (code == NRPC_OK && (stage || strcmp(cursor, "0") != 0));
    return code;
}

int rs_nodes(struct state *s, struct arena *a, struct state_node **out, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct listing l = {0};
    for (struct rs_shard *shard; (shard = rs_next(&round));)
        rs_note(&round, list_shard(shard, round.asked, &l, a, st));
    int code = rs_round_end(&round);
    *count = code ? 0 : merge_listed(&l);
    *out = code ? NULL : arena_alloc(a, (*count + 1) * sizeof **out);
    for (size_t i = 0; *out && i < *count; i++)
        (*out)[i] = l.at[i].node;
    free(l.at);
    return code;
}

int rs_node_get(struct state *s, struct state_holder who, struct arena *a, struct state_node *out,
                struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct listing l = {0};
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, a, st);
        rs_u64(&c, who.node);
        rs_u64(&c, who.session);
        if (rs_do(&c, SCRIPT_node_get) == NRPC_OK)
            read_node(&c, &l, round.asked, rs_at(rs_at(c.reply, RS_REPLY), 0));
        rs_note(&round, rs_end(&c));
    }
    int code = rs_round_end(&round);
    if (code == NRPC_OK && merge_listed(&l))
        *out = l.at->node;
    else if (code == NRPC_OK)
        code = status_set(st, NRPC_UNAVAILABLE, "no Redis server says who node %llu is",
                          (unsigned long long)who.node);
    free(l.at);
    return code;
}
