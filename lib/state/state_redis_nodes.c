// SPDX-License-Identifier: Apache-2.0
// state_redis_nodes.c: the nodes there are, in every shard: each shard knows what it leased to whom.
#include "state/state_redis_internal.h"

#include <stdlib.h>
#include <string.h>

static int add_to(struct rs_shard *shard, const struct state_node *node, uint64_t *id, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    rs_u64(&c, *id);
    rs_text(&c, node->name);
    rs_text(&c, node->host);
    rs_text(&c, node->types);
    rs_u64(&c, node->pid);
    rs_u64(&c, node->slots);
    rs_time(&c, node->lease_until_ms);
    if (rs_do(&c, SCRIPT_node_add) == NRPC_OK)
        *id = rs_read_u64(rs_at(c.reply, RS_REPLY));
    return rs_end(&c);
}

int rs_node_add(struct state *s, const struct state_node *node, uint64_t *id, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    uint64_t given = 0;
    int code = store->next_ids ? store->next_ids(store->user, 1, &given, st) : NRPC_OK;
    if (code == NRPC_OK && given > UINT32_MAX) // what a stored lease has room for
        code = status_set(st, NRPC_RESOURCE_EXHAUSTED, "4,294,967,295 nodes have been registered here");
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++)
        code = add_to(&store->shards[i], node, &given, st);
    *id = given;
    return code;
}

int rs_node_renew(struct state *s, const uint64_t *ids, size_t count, int64_t until_ms, struct arena *a,
                  uint64_t **lost, size_t *lost_count, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    struct rs_ids gone = {0};
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++) {
        struct rs_call c;
        rs_begin(&c, &store->shards[i], RS_SEEN, NULL, st);
        rs_time(&c, until_ms);
        rs_u64(&c, count);
        for (size_t k = 0; k < count; k++)
            rs_u64(&c, ids[k]);
        if (rs_do(&c, SCRIPT_node_renew) == NRPC_OK)
            rs_ids_add(&gone, rs_at(c.reply, RS_REPLY));
        code = rs_end(&c);
    }
    return rs_ids_give(&gone, code, SIZE_MAX, a, lost, lost_count, st);
}

int rs_node_grace(struct state *s, int64_t until_ms, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++) {
        struct rs_call c;
        rs_begin(&c, &store->shards[i], RS_SEEN, NULL, st);
        rs_time(&c, until_ms);
        code = rs_finish(&c, SCRIPT_node_grace);
    }
    return code;
}

static int return_all(struct rs_store *store, uint64_t id, bool goes, const struct state_ref *holding,
                      size_t count, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++) {
        struct rs_call c;
        size_t n;
        rs_begin(&c, &store->shards[i], RS_SEEN, NULL, st);
        struct rs_run *runs = rs_runs(&c, holding, count, &n);
        rs_u64(&c, id);
        rs_u64(&c, goes);
        rs_put_runs(&c, runs, n);
        code = rs_finish(&c, SCRIPT_node_return);
    }
    return code;
}

int rs_node_reconcile(struct state *s, uint64_t id, const struct state_ref *holding, size_t count,
                      struct nrpc_status *st)
{
    return return_all((struct rs_store *)s, id, false, holding, count, st);
}

int rs_node_remove(struct state *s, uint64_t id, struct nrpc_status *st)
{
    return return_all((struct rs_store *)s, id, true, NULL, 0, st);
}

// ---- listing

struct listing {
    struct state_node *at;
    size_t count, capacity;
};

static struct state_node *find(struct listing *l, uint64_t id)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->at[i].id == id)
            return &l->at[i];
    return NULL;
}

// The first shard tells about a node; of all, what it holds is added up, and the shortest lease counts.
static void read_node(struct rs_call *c, struct listing *l, const redisReply *row)
{
    uint64_t id = rs_read_u64(rs_at(row, 0));
    int64_t until_ms = rs_read_time(rs_at(row, 1));
    struct state_node *n = c->shard->index ? find(l, id) : NULL;
    if (!n) {
        mem_grow(&l->at, &l->capacity, l->count + 1, sizeof *l->at);
        n = &l->at[l->count++];
        *n = (struct state_node){.id = id,
                                 .lease_until_ms = until_ms,
                                 .name = rs_out_text(c, rs_at(row, 2)),
                                 .host = rs_out_text(c, rs_at(row, 3)),
                                 .types = rs_out_text(c, rs_at(row, 4)),
                                 .pid = (uint32_t)rs_read_u64(rs_at(row, 5)),
                                 .slots = (uint32_t)rs_read_u64(rs_at(row, 6))};
    }
    if (until_ms < n->lease_until_ms)
        n->lease_until_ms = until_ms;
    n->running += rs_read_u64(rs_at(row, 7));
    n->settled += rs_read_u64(rs_at(row, 8));
}

int rs_nodes(struct state *s, struct arena *a, struct state_node **out, size_t *count, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    struct listing l = {0};
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++) {
        struct rs_call c;
        rs_begin(&c, &store->shards[i], RS_SEEN, a, st);
        rs_do(&c, SCRIPT_nodes);
        const redisReply *rows = rs_at(c.reply, RS_REPLY);
        for (size_t k = 0; k < rs_size(rows) && !c.code; k++)
            read_node(&c, &l, rs_at(rows, k));
        code = rs_end(&c);
    }
    if (l.count)
        qsort(l.at, l.count, sizeof *l.at, rs_compare_ids); // a node begins with its id
    *count = code ? 0 : l.count;
    *out = code ? NULL : arena_dup(a, l.at, l.count * sizeof *l.at);
    free(l.at);
    return code;
}
