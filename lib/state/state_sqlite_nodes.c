// SPDX-License-Identifier: Apache-2.0
// state_sqlite_nodes.c: the nodes there are, their leases, and what happens to their subtasks when they go.
#include "state/state_sqlite_internal.h"

// ---- counting what a node holds: added up during the call, written once

static struct sq_node *node_seen(struct sq_call *c, uint64_t node)
{
    struct sq_node *n = c->last_node;
    if (n && n->id == node)
        return n;
    HASH_FIND(hh, c->nodes, &node, sizeof node, n);
    if (!n) {
        n = arena_calloc(&c->scratch, sizeof *n);
        n->id = node;
        HASH_ADD(hh, c->nodes, id, sizeof n->id, n);
    }
    c->last_node = n;
    return n;
}

void sq_node_count(struct sq_call *c, uint64_t node, int running, int settled)
{
    struct sq_node *n = node_seen(c, node);
    n->running += running;
    n->settled += settled;
}

void sq_node_flush_all(struct sq_call *c)
{
    for (struct sq_node *n = c->nodes; n && !c->code; n = n->hh.next)
        if (n->running || n->settled)
            sq_run(c, sq_bind(c, SQL_NODE_UPDATE, "uii", n->id, n->running, n->settled));
}

bool sq_node_find(struct sq_call *c, uint64_t id, uint64_t *running)
{
    sqlite3_stmt *stmt = sq_bind(c, SQL_NODE_GET, "uu", id, c->store->incarnation);
    bool found = sq_step(c, stmt);
    if (found)
        *running = (uint64_t)(db_i64(stmt, 7) + node_seen(c, id)->running);
    db_done(stmt);
    return found;
}

// That of any number, of this incarnation or an earlier one, as this call has left it so far.
static uint64_t leases_of(struct sq_call *c, uint64_t node)
{
    sqlite3_stmt *stmt = sq_bind(c, SQL_NODE_RUNNING, "u", node);
    int64_t running = sq_step(c, stmt) ? db_i64(stmt, 0) : 0;
    db_done(stmt);
    return (uint64_t)(running + node_seen(c, node)->running);
}

bool sq_node_need(struct sq_call *c, uint64_t id)
{
    uint64_t running;
    return sq_node_find(c, id, &running) ||
           sq_fail(c, NRPC_NOT_FOUND, "node %llu is not registered", (unsigned long long)id);
}

// The registration that a number is of; 0: of none.
static uint64_t session_of(struct sq_call *c, uint64_t node)
{
    struct sq_node *n = node_seen(c, node);
    if (n->looked)
        return n->session;
    sqlite3_stmt *stmt = sq_bind(c, SQL_NODE_SESSION, "u", node);
    n->session = sq_step(c, stmt) ? db_u64(stmt, 0) : 0;
    n->looked = true;
    db_done(stmt);
    return n->session;
}

bool sq_node_has(struct sq_call *c, const struct state_holder *who, uint64_t node)
{
    return !who->node || (who->node == node && (!who->session || session_of(c, node) == who->session));
}

static bool need_holder(struct sq_call *c, struct state_holder who)
{
    if (!sq_node_need(c, who.node))
        return false;
    return sq_node_has(c, &who, who.node) ||
           sq_fail(c, NRPC_NOT_FOUND, "node %llu is another one", (unsigned long long)who.node);
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

// ---- leases

int sq_node_renew(struct state *s, const struct state_renewal *renewals, size_t count, struct arena *a,
                  uint64_t **lost, size_t *lost_count, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++) {
        const struct state_renewal *r = &renewals[i];
        sq_run(&c, sq_bind(&c, SQL_NODE_RENEW, "uiui", r->node, r->until_ms, c.store->incarnation,
                           (int64_t)r->exactly));
        if (!db_changes(c.store->sql.db))
            sq_list_add(&list, r->node);
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

// ---- what there is to be told

int sq_node_note(struct state *s, const struct state_note *notes, size_t count, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !c.code; i++)
        sq_run(&c, sq_bind(&c, SQL_NODE_NOTE, "uitt", notes[i].node, (int64_t)notes[i].usable,
                           notes[i].short_of, notes[i].quarantine));
    return sq_end(&c);
}

// ---- what it holds

struct taking {
    uint64_t node, heir;
    struct state_holding *holding;
    struct sq_list stops;
};

static void keep_one(struct sq_call *c, const struct sq_lease *l, struct taking *w, size_t index)
{
    w->holding->kept[index] = true;
    if (l->task->phase == MODEL_STOPPING)
        sq_list_add(&w->stops, l->task->id);
    if (w->heir == w->node)
        return;
    sq_node_count(c, w->node, -1, 0);
    sq_node_count(c, w->heir, 1, 0);
    l->subtask->node = (uint32_t)w->heir;
    l->tile->dirty = true;
}

struct held {
    struct state_ref ref;
    size_t index; // in the holding
};

static int compare_held(const void *a, const void *b)
{
    const struct state_ref *x = &((const struct held *)a)->ref, *y = &((const struct held *)b)->ref;
    if (x->task != y->task)
        return x->task < y->task ? -1 : 1;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->attempt < y->attempt ? -1 : x->attempt > y->attempt;
}

static struct held *sort_held(const struct state_holding *h, size_t count)
{
    struct held *held = mem_calloc(count + 1, sizeof *held);
    for (size_t i = 0; i < count; i++)
        held[i] = (struct held){h->refs[i], i};
    if (count)
        qsort(held, count, sizeof *held, compare_held);
    return held;
}

// Returns how many leases of the node it has; who says one twice has one.
static uint64_t keep_held(struct sq_call *c, struct taking *w, const struct held *held, size_t count)
{
    uint64_t kept = 0;
    for (size_t i = 0; i < count && !c->code; i++) {
        struct sq_lease l;
        bool again = i && !compare_held(&held[i - 1], &held[i]);
        if (again || !sq_lease_find(c, &held[i].ref, &l) || l.subtask->node != w->node)
            continue;
        keep_one(c, &l, w, held[i].index);
        kept++;
    }
    return kept;
}

struct returning {
    uint64_t node;
    const struct held *held;
    size_t held_count;
};

static void return_one(struct sq_call *c, const struct sq_lease *l, void *user)
{
    const struct returning *w = user;
    struct held like = {{l->task->id, l->seq, l->subtask->attempt}, 0};
    if (l->subtask->node != w->node ||
        (w->held_count && bsearch(&like, w->held, w->held_count, sizeof like, compare_held)))
        return;
    sq_lease_return(c, l, 0);
    if (l->subtask->state == SQ_WAITING)
        l->task->counters.redispatched++;
}

static void give_stops(struct sq_call *c, struct sq_list *stops, struct state_holding *holding)
{
    sq_list_sort(stops);
    if (holding && stops->count) {
        holding->stops = sq_out(c, stops->count, sizeof *holding->stops);
        if (holding->stops)
            memcpy(holding->stops, stops->ids, stops->count * sizeof *holding->stops);
        holding->stop_count = holding->stops ? stops->count : 0;
    }
    sq_list_free(stops);
}

// What is leased to `node` and held becomes the heir's; what is not held goes back to the queue. holding may
// be NULL: nothing is held.
static void take_all(struct sq_call *c, uint64_t node, uint64_t heir, struct state_holding *holding)
{
    struct taking w = {.node = node, .heir = heir, .holding = holding};
    size_t count = holding ? holding->count : 0;
    struct held *held = sort_held(holding, count);
    uint64_t leases = leases_of(c, node);
    if (keep_held(c, &w, held, count) != leases) { // all that is leased has to be looked at
        struct returning r = {node, held, count};
        sq_lease_each(c, 0, return_one, &r);
    }
    give_stops(c, &w.stops, holding);
    free(held);
}

static void begin_holding(struct sq_call *c, struct state_holding *h)
{
    if (!h)
        return;
    h->stops = NULL;
    h->stop_count = 0;
    h->kept = sq_out(c, h->count + 1, sizeof *h->kept);
    if (h->kept)
        memset(h->kept, 0, h->count + 1);
}

int sq_node_reconcile(struct state *s, struct state_holder who, struct state_holding *holding,
                      struct arena *a, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    begin_holding(&c, holding);
    if (need_holder(&c, who) && !c.code)
        take_all(&c, who.node, who.node, holding);
    return sq_end(&c);
}

int sq_node_remove(struct state *s, struct state_holder who, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    if (need_holder(&c, who)) {
        take_all(&c, who.node, who.node, NULL);
        sq_run(&c, sq_bind(&c, SQL_NODE_DELETE, "u", who.node));
    }
    return sq_end(&c);
}

// ---- registration

static uint64_t insert_node(struct sq_call *c, const struct state_node *node)
{
    uint64_t id = 0;
    sqlite3_stmt *stmt =
        sq_bind(c, SQL_NODE_INSERT, "tttiiiuu", node->name, node->host, node->types, (int64_t)node->pid,
                (int64_t)node->slots, node->lease_until_ms, node->session, c->store->incarnation);
    if (sq_step(c, stmt))
        id = db_u64(stmt, 0);
    db_done(stmt);
    if (!c->code && id > UINT32_MAX) // what a stored lease has room for
        sq_fail(c, NRPC_RESOURCE_EXHAUSTED, "4,294,967,295 nodes have been registered here");
    return id;
}

// The number that this session has already; *past: of an earlier incarnation.
static uint64_t number_of(struct sq_call *c, uint64_t session, bool *past)
{
    sqlite3_stmt *stmt = sq_bind(c, SQL_NODE_OF_SESSION, "u", session);
    uint64_t id = sq_step(c, stmt) ? db_u64(stmt, 0) : 0;
    *past = id && db_u64(stmt, 1) != c->store->incarnation;
    db_done(stmt);
    return id;
}

static void inherit(struct sq_call *c, uint64_t former, uint64_t id, struct state_holding *holding)
{
    take_all(c, former, id, holding);
    sq_run(c, sq_bind(c, SQL_NODE_DELETE, "u", former));
}

int sq_node_add(struct state *s, const struct state_node *node, struct state_holding *holding,
                struct arena *a, uint64_t *id, struct nrpc_status *st)
{
    struct sq_call c;
    struct state_holder former = holding ? holding->former : (struct state_holder){0};
    bool past;
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    begin_holding(&c, holding);
    uint64_t known = number_of(&c, node->session, &past);
    *id = known && !past ? known : c.code ? 0 : insert_node(&c, node);
    if (known && holding && !c.code)
        take_all(&c, *id, *id, holding);
    if (known && past && !c.code)
        inherit(&c, known, *id, holding);
    if (former.session && former.node != *id && former.node != known &&
        sq_node_has(&c, &former, former.node) && !c.code)
        inherit(&c, former.node, *id, holding);
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
                               .settled = db_u64(stmt, 8),
                               .session = db_u64(stmt, 9),
                               .usable = (uint32_t)db_u64(stmt, 10),
                               .short_of = sq_out_text(c, (const char *)sqlite3_column_text(stmt, 11)),
                               .quarantine = sq_out_text(c, (const char *)sqlite3_column_text(stmt, 12))};
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

int sq_node_get(struct state *s, struct state_holder who, struct arena *a, struct state_node *out,
                struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    if (need_holder(&c, who)) {
        sqlite3_stmt *stmt = sq_bind(&c, SQL_NODE_GET, "uu", who.node, c.store->incarnation);
        if (sq_step(&c, stmt))
            node_row(&c, stmt, out);
        db_done(stmt);
    }
    return sq_end(&c);
}
