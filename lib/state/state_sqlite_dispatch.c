// SPDX-License-Identifier: Apache-2.0
// state_sqlite_dispatch.c: how subtasks get out: views for schedulers, leases, and what comes back unrun or
// never.
#include "state/state_sqlite_internal.h"

int sq_views(struct state *s, int64_t now_ms, uint64_t after, size_t max, struct arena *a,
             struct state_view **out, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    sq_see_time(&c, now_ms);
    struct state_view *views = NULL;
    size_t capacity = 0;
    *count = 0;
    sqlite3_stmt *stmt =
        sq_bind(&c, SQL_TASK_VIEWS, "ui", model_after(after), (int64_t)(max < INT32_MAX ? max : INT32_MAX));
    while (sq_step(&c, stmt)) {
        struct sq_task *t = sq_task_row(stmt, &c.scratch);
        mem_grow(&views, &capacity, *count + 1, sizeof *views);
        struct state_view *view = &views[(*count)++];
        sq_task_view(&c, t, view);
        view->group = sq_out_text(&c, t->group);
        view->type = sq_out_text(&c, t->type);
    }
    *out = sq_out(&c, *count, sizeof **out);
    if (*out && *count)
        memcpy(*out, views, *count * sizeof **out);
    free(views);
    return sq_end(&c);
}

// ---- leasing

struct leasing {
    uint32_t node;
    int64_t now_ms;
    struct state_work *works;
    size_t count, most; // most: that the node may take
    struct budget *budget;
};

static bool is_full(const struct leasing *l)
{
    return l->count >= l->most || budget_is_full(l->budget);
}

static uint64_t dispatchable(const struct sq_task *t)
{
    if (!sq_task_is_live(t) || t->paused || sq_results_full(t))
        return 0;
    if (!t->max_running)
        return t->counters.queued;
    uint64_t room = t->counters.running < t->max_running ? t->max_running - t->counters.running : 0;
    return room < t->counters.queued ? room : t->counters.queued;
}

static uint64_t pick_size(struct sq_call *c, const struct state_pick *pick)
{
    const struct sq_task *t = sq_task_find(c, pick->task);
    uint64_t most = t ? dispatchable(t) : 0;
    return pick->count < most ? pick->count : most;
}

static bool lease_one(struct sq_call *c, struct leasing *l, struct sq_task *t, struct sq_tile *tile,
                      struct sq_subtask *subtask, uint64_t seq)
{
    struct state_work *w = &l->works[l->count];
    if (!sq_params_get(c, tile, seq, &w->timeout_ms, &w->param))
        return false;
    subtask->state = SQ_LEASED;
    subtask->node = l->node;
    subtask->attempt++;
    subtask->due_ms = l->now_ms + w->timeout_ms + STATE_LEASE_SPARE_MS;
    if (subtask->due_ms < c->store->due_floor_ms)
        c->store->due_floor_ms = subtask->due_ms;
    t->changed = tile->dirty = true;
    t->counters.queued--;
    t->counters.running++;
    w->task = t->id;
    w->seq = seq;
    w->attempt = subtask->attempt;
    w->type = t->type_out;
    l->count++;
    l->budget->used += w->param.bytes;
    return true;
}

static uint64_t lease_retries_of(struct sq_call *c, struct leasing *l, struct sq_task *t, uint64_t number,
                                 uint64_t want)
{
    uint64_t taken = 0;
    struct sq_tile *tile = sq_tile_get(c, t->id, number);
    for (int i = 0; tile && i < SQ_TILE && taken < want && !is_full(l); i++) {
        struct sq_subtask *subtask = &tile->subtasks[i];
        if (subtask->state == SQ_WAITING && subtask->due_ms <= l->now_ms)
            taken += lease_one(c, l, t, tile, subtask, number * SQ_TILE + (uint64_t)i + 1);
    }
    return taken;
}

static uint64_t lease_retries(struct sq_call *c, struct leasing *l, struct sq_task *t, uint64_t want)
{
    if (t->counters.queued <= sq_fresh(t))
        return 0;
    sq_tile_flush_all(c); // the same task may have been picked before in this call
    struct sq_list tiles = {0};
    sq_list_read(c, &tiles, sq_bind(c, SQL_TILE_RETRIES, "uiu", t->id, l->now_ms, want));
    uint64_t taken = 0;
    for (size_t i = 0; i < tiles.count && taken < want && !is_full(l) && !c->code; i++)
        taken += lease_retries_of(c, l, t, tiles.ids[i], want - taken);
    sq_list_free(&tiles);
    return taken;
}

static uint64_t lease_fresh(struct sq_call *c, struct leasing *l, struct sq_task *t, uint64_t want)
{
    uint64_t taken = 0;
    for (; taken < want && sq_fresh(t) && !is_full(l) && !c->code; taken++, t->cursor++) {
        struct sq_tile *tile;
        struct sq_subtask *subtask = sq_subtask_get(c, t->id, t->cursor, &tile);
        if (!subtask || !lease_one(c, l, t, tile, subtask, t->cursor))
            break;
        uint64_t bytes = sq_queue_bytes(l->works[l->count - 1].param.bytes);
        t->queued_bytes -= bytes < t->queued_bytes ? bytes : t->queued_bytes;
    }
    return taken;
}

// Returns how many found no room.
static uint32_t lease_pick(struct sq_call *c, struct leasing *l, const struct state_pick *pick)
{
    uint64_t want = pick_size(c, pick);
    struct sq_task *t = want ? sq_task_find(c, pick->task) : NULL;
    if (!t)
        return 0;
    if (!t->type_out)
        t->type_out = sq_out_text(c, t->type);
    size_t before = l->count;
    want -= lease_retries(c, l, t, want);
    want -= lease_fresh(c, l, t, want);
    sq_node_count(c, l->node, (int)(l->count - before), 0);
    return is_full(l) ? (uint32_t)want : 0;
}

// One node's picks.
static void lease_to(struct sq_call *c, struct state_taker *to)
{
    uint64_t holds = 0, wanted = 0;
    to->count = 0;
    to->work = NULL;
    to->left = sq_out(c, to->pick_count + 1, sizeof *to->left);
    to->code = !c->code && sq_node_find(c, to->node, &holds) ? NRPC_OK : NRPC_NOT_FOUND;
    for (size_t i = 0; i < to->pick_count && to->left; i++) {
        to->left[i] = 0;
        wanted += to->code ? 0 : pick_size(c, &to->picks[i]);
    }
    if (to->code || !to->left)
        return;
    to->budget.bytes = to->budget.bytes ? to->budget.bytes : STATE_BATCH_BYTES;
    struct leasing l = {.node = (uint32_t)to->node, .now_ms = c->now_ms, .budget = &to->budget};
    l.works = sq_out(c, wanted, sizeof *l.works);
    l.most = !to->most ? wanted : holds < to->most ? to->most - holds : 0;
    for (size_t i = 0; i < to->pick_count && !c->code; i++)
        to->left[i] = lease_pick(c, &l, &to->picks[i]);
    to->work = l.works;
    to->count = l.count;
}

int sq_lease(struct state *s, int64_t now_ms, struct state_taker *takers, size_t count, struct arena *a,
             struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code == NRPC_OK) {
        sq_see_time(&c, now_ms);
        for (size_t i = 0; i < count; i++)
            lease_to(&c, &takers[i]);
        code = sq_end(&c);
    }
    for (size_t i = 0; i < count && code; i++) {
        takers[i].code = code;
        takers[i].count = 0;
        takers[i].left = NULL;
    }
    return code;
}

// ---- coming back

int sq_requeue(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
               enum state_requeue_reason reason, int64_t ready_ms, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        struct sq_lease l;
        if (!sq_lease_find(&c, &refs[i], &l) || (by && !sq_node_has(&c, by, l.subtask->node)))
            continue;
        sq_lease_return(&c, &l, ready_ms);
        if (reason == STATE_RETURNED && l.subtask->state == SQ_WAITING)
            l.task->counters.redispatched++;
    }
    return sq_end(&c);
}

int sq_extend(struct state *s, const struct state_ref *refs, size_t count, const struct state_holder *by,
              int64_t until_ms, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    for (size_t i = 0; i < count; i++) {
        struct sq_lease l;
        if (!sq_lease_find(&c, &refs[i], &l) || !sq_node_has(&c, by, l.subtask->node) ||
            !sq_task_is_live(l.task) || l.subtask->due_ms >= until_ms)
            continue;
        l.subtask->due_ms = until_ms;
        l.tile->dirty = true;
    }
    return sq_end(&c);
}

struct sweeping {
    const struct sq_list *lost;
    int64_t now_ms, least_due_ms;
};

static void sweep_one(struct sq_call *c, const struct sq_lease *l, void *user)
{
    struct sweeping *w = user;
    if (sq_list_has(w->lost, l->subtask->node))
        sq_settle(c, l, &(struct sq_report){.kind = MODEL_LOST, .message = "its node was lost"});
    else if (l->subtask->due_ms <= w->now_ms)
        sq_settle(
            c, l,
            &(struct sq_report){.kind = MODEL_TIMEOUT, .message = "its node did not report it in time"});
    else if (l->subtask->due_ms < w->least_due_ms)
        w->least_due_ms = l->subtask->due_ms;
}

int sq_sweep(struct state *s, int64_t now_ms, struct arena *a, uint64_t **lost, size_t *lost_count,
             int64_t *next_ms, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list nodes = {0};
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    sq_see_time(&c, now_ms);
    sq_list_read(&c, &nodes, sq_bind(&c, SQL_NODE_LOST, "i", now_ms));
    int64_t floor_ms = c.store->due_floor_ms;
    if (nodes.count || floor_ms <= now_ms) {
        struct sweeping w = {&nodes, now_ms, CLOCK_NEVER};
        c.out = &c.scratch;
        sq_lease_each(&c, 0, sweep_one, &w);
        c.out = a;
        floor_ms = w.least_due_ms;
    }
    for (size_t i = 0; i < nodes.count; i++)
        sq_run(&c, sq_bind(&c, SQL_NODE_DELETE, "u", nodes.ids[i]));
    *next_ms = sq_node_next_ms(&c);
    if (floor_ms < *next_ms)
        *next_ms = floor_ms;
    sq_list_out(&c, &nodes, lost, lost_count);
    struct sq_store *store = c.store;
    store->due_floor_ms = floor_ms;
    code = sq_end(&c);
    if (code)
        store->due_floor_ms = 0; // what was due still is
    return code;
}

static void add_holder(struct sq_call *c, const struct sq_lease *l, void *user)
{
    (void)c;
    sq_list_add(user, l->subtask->node);
}

int sq_holders(struct state *s, uint64_t task, struct arena *a, uint64_t **nodes, size_t *count,
               struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    if (task)
        sq_lease_each(&c, task, add_holder, &list);
    sq_list_sort(&list);
    sq_list_out(&c, &list, nodes, count);
    return sq_end(&c);
}
