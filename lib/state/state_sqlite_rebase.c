// SPDX-License-Identifier: Apache-2.0
// state_sqlite_rebase.c: the clock is another than before: what was measured by it begins anew.
#include "dtf.h"
#include "state/state_sqlite_internal.h"

static void restart_lease(struct sq_call *c, const struct sq_lease *l, void *user)
{
    (void)user;
    uint32_t timeout_ms = 0;
    struct state_blob param;
    if (!sq_params_get(c, l->tile, l->seq, &timeout_ms, &param))
        return;
    l->subtask->due_ms = c->now_ms + timeout_ms + STATE_LEASE_SPARE_MS;
    l->tile->dirty = true;
}

// What waits longer than it can wait for a time before the jump.
static bool waits_too_long(const struct sq_task *t, const struct sq_subtask *s, int64_t now_ms)
{
    return s->state == SQ_WAITING && s->due_ms > now_ms + model_backoff_ms(&t->policy, s->failures);
}

static void ripen(struct sq_call *c, uint64_t task, uint64_t number)
{
    struct sq_tile *tile = sq_tile_get(c, task, number);
    struct sq_task *t = sq_task_find(c, task);
    for (int i = 0; tile && t && i < SQ_TILE; i++)
        if (waits_too_long(t, &tile->subtasks[i], c->now_ms)) {
            tile->subtasks[i].due_ms = c->now_ms;
            tile->dirty = t->changed = true;
        }
}

static void ripen_all(struct sq_call *c)
{
    struct sq_list tasks = {0}, numbers = {0};
    sqlite3_stmt *stmt = sq_bind(c, SQL_TILE_FAR, "i", c->now_ms + DTF_RETRY_BACKOFF_MS);
    while (sq_step(c, stmt)) {
        sq_list_add(&tasks, db_u64(stmt, 0));
        sq_list_add(&numbers, db_u64(stmt, 1));
    }
    db_done(stmt);
    for (size_t i = 0; i < tasks.count && !c->code; i++)
        ripen(c, tasks.ids[i], numbers.ids[i]);
    sq_list_free(&tasks);
    sq_list_free(&numbers);
}

static void leave_claims(struct sq_call *c, int64_t until_ms)
{
    struct sq_list owned = {0};
    sq_list_read(c, &owned, sq_bind(c, SQL_TASK_HELD, ""));
    for (size_t i = 0; i < owned.count && !c->code; i++) {
        struct sq_task *t = sq_task_find(c, owned.ids[i]);
        if (!t)
            continue;
        t->owner_until_ms = until_ms;
        t->changed = true;
    }
    sq_list_free(&owned);
}

static void leave_all(struct sq_call *c, int64_t until_ms)
{
    sq_run(c, sq_bind(c, SQL_NODE_REBASE, "i", until_ms));
    leave_claims(c, until_ms);
    for (struct sq_taken *t = c->store->taken; t; t = t->hh.next)
        t->until_ms = until_ms;
}

int sq_rebase(struct state *s, int64_t now_ms, int64_t until_ms, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    struct sq_store *store = c.store;
    store->now_ms = c.now_ms = now_ms;
    sq_lease_each(&c, 0, restart_lease, NULL);
    ripen_all(&c);
    if (until_ms)
        leave_all(&c, until_ms);
    store->due_floor_ms = 0;
    return sq_end(&c);
}
