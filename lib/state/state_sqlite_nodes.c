// SPDX-License-Identifier: Apache-2.0
// state_sqlite_nodes.c: the nodes there are, their leases, and what happens to their subtasks when they go.
#include "state/state_sqlite_internal.h"

// ---- counting what a node holds: added up during the call, written once

void sq_node_count(struct sq_call *c, uint64_t node, int running, int settled)
{
    struct sq_node *n;
    HASH_FIND(hh, c->nodes, &node, sizeof node, n);
    if (!n) {
        n = arena_calloc(&c->scratch, sizeof *n);
        n->id = node;
        HASH_ADD(hh, c->nodes, id, sizeof n->id, n);
    }
    n->running += running;
    n->settled += settled;
}

void sq_node_flush_all(struct sq_call *c)
{
    for (struct sq_node *n = c->nodes; n && !c->code; n = n->hh.next)
        if (n->running || n->settled)
            sq_run(c, sq_bind(c, SQL_NODE_UPDATE, "uii", n->id, n->running, n->settled));
}

bool sq_node_need(struct sq_call *c, uint64_t id)
{
    sqlite3_stmt *stmt = sq_bind(c, SQL_NODE_GET, "u", id);
    bool found = sq_step(c, stmt);
    db_done(stmt);
    return found || sq_fail(c, NRPC_NOT_FOUND, "node %llu is not registered", (unsigned long long)id);
}

int64_t sq_node_next_ms(struct sq_call *c)
{
    int64_t next_ms = CLOCK_NEVER;
    sqlite3_stmt *stmt = sq_bind(c, SQL_NODE_NEXT, "");
    if (sq_step(c, stmt) && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        next_ms = db_i64(stmt, 0);
    db_done(stmt);
    return next_ms;
}

// ---- registration

int sq_node_add(struct state *s, const struct state_node *node, uint64_t *id, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    sqlite3_stmt *stmt = sq_bind(&c, SQL_NODE_INSERT, "tttiii", node->name, node->host, node->types,
                                 (int64_t)node->pid, (int64_t)node->slots, node->lease_until_ms);
    if (sq_step(&c, stmt))
        *id = db_u64(stmt, 0);
    db_done(stmt);
    if (!c.code && *id > UINT32_MAX) // what a stored lease has room for
        sq_fail(&c, NRPC_RESOURCE_EXHAUSTED, "4,294,967,295 nodes have been registered here");
    return sq_end(&c);
}

int sq_node_renew(struct state *s, const uint64_t *ids, size_t count, int64_t until_ms, struct arena *a,
                  uint64_t **lost, size_t *lost_count, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++) {
        sq_run(&c, sq_bind(&c, SQL_NODE_RENEW, "ui", ids[i], until_ms));
        if (!db_changes(c.store->sql.db))
            sq_list_add(&list, ids[i]);
    }
    sq_list_out(&c, &list, lost, lost_count);
    return sq_end(&c);
}

int sq_node_grace(struct state *s, int64_t until_ms, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    sq_run(&c, sq_bind(&c, SQL_NODE_GRACE, "i", until_ms));
    return sq_end(&c);
}

// ---- what it holds

struct returning {
    uint64_t node;
    const struct state_ref *held; // sorted
    size_t held_count;
};

static int compare_refs(const void *a, const void *b)
{
    const struct state_ref *x = a, *y = b;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->attempt < y->attempt ? -1 : x->attempt > y->attempt;
}

static void return_one(struct sq_call *c, const struct sq_lease *l, void *user)
{
    const struct returning *r = user;
    struct state_ref ref = {l->task->id, l->seq, l->subtask->attempt};
    if (l->subtask->node != r->node)
        return;
    if (r->held_count && bsearch(&ref, r->held, r->held_count, sizeof ref, compare_refs))
        return;
    sq_lease_return(c, l, 0);
    if (l->subtask->state == SQ_WAITING)
        l->task->counters.redispatched++;
}

static void return_all(struct sq_call *c, uint64_t node, const struct state_ref *held, size_t count)
{
    struct state_ref *sorted = mem_dup(held, count * sizeof *held);
    if (count)
        qsort(sorted, count, sizeof *sorted, compare_refs);
    struct returning r = {node, sorted, count};
    sq_lease_each(c, 0, return_one, &r);
    free(sorted);
}

int sq_node_reconcile(struct state *s, uint64_t id, const struct state_ref *holding, size_t count,
                      struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    if (sq_node_need(&c, id))
        return_all(&c, id, holding, count);
    return sq_end(&c);
}

int sq_node_remove(struct state *s, uint64_t id, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    if (sq_node_need(&c, id)) {
        return_all(&c, id, NULL, 0);
        sq_run(&c, sq_bind(&c, SQL_NODE_DELETE, "u", id));
    }
    return sq_end(&c);
}

static void node_row(struct sq_call *c, sqlite3_stmt *stmt, struct state_node *out)
{
    *out = (struct state_node){.id = db_u64(stmt, 0),
                               .name = sq_out_text(c, (const char *)sqlite3_column_text(stmt, 1)),
                               .host = sq_out_text(c, (const char *)sqlite3_column_text(stmt, 2)),
                               .types = sq_out_text(c, (const char *)sqlite3_column_text(stmt, 3)),
                               .pid = (uint32_t)db_u64(stmt, 4),
                               .slots = (uint32_t)db_u64(stmt, 5),
                               .lease_until_ms = db_i64(stmt, 6),
                               .running = db_u64(stmt, 7),
                               .settled = db_u64(stmt, 8)};
}

int sq_nodes(struct state *s, struct arena *a, struct state_node **out, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    struct state_node *rows = NULL;
    size_t capacity = 0, n = 0;
    sqlite3_stmt *stmt = sq_bind(&c, SQL_NODE_LIST, "");
    while (sq_step(&c, stmt)) {
        mem_grow(&rows, &capacity, n + 1, sizeof *rows);
        node_row(&c, stmt, &rows[n++]);
    }
    *count = n;
    *out = sq_out(&c, n, sizeof **out);
    if (*out && n)
        memcpy(*out, rows, n * sizeof **out);
    free(rows);
    return sq_end(&c);
}
