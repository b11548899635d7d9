// SPDX-License-Identifier: Apache-2.0
// litecall.c: the frame of a call of the SQLite record store, and what its statements give.
#include "records/litecall.h"

#include <stdlib.h>
#include <string.h>

int litecall_begin(struct litecall *c, struct records *r, enum db_mode mode, struct arena *out,
                   struct nrpc_status *st)
{
    *c = (struct litecall){.store = (struct litestore *)r, .out = out, .st = st};
    arena_init(&c->scratch, 0);
    return db_begin(c->store->sql.db, mode, st);
}

int litecall_end(struct litecall *c)
{
    if (!c->code)
        c->code = db_commit(c->store->sql.db, c->st);
    else
        db_rollback(c->store->sql.db);
    arena_fini(&c->scratch);
    return c->code;
}

bool litecall_step(struct litecall *c, sqlite3_stmt *stmt)
{
    if (c->code) {
        db_done(stmt);
        return false;
    }
    int more = db_step(stmt);
    if (more < 0)
        c->code = db_error(c->store->sql.db, "the record store failed", c->st);
    return more > 0;
}

void litecall_run(struct litecall *c, sqlite3_stmt *stmt)
{
    while (litecall_step(c, stmt))
        ;
}

uint64_t litecall_number(struct litecall *c, sqlite3_stmt *stmt, uint64_t none)
{
    uint64_t n = none;
    if (litecall_step(c, stmt)) {
        if (sqlite3_column_type(stmt, 0) != SQLITE_NULL)
            n = db_u64(stmt, 0);
        db_done(stmt);
    }
    return n;
}

// ---- what is read

static void *room(struct litecall *c, void *p)
{
    if (!p && !c->code)
        c->code = status_set(c->st, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
    return p;
}

const char *litecall_text(struct litecall *c, sqlite3_stmt *stmt, int column)
{
    bool is_null = sqlite3_column_type(stmt, column) == SQLITE_NULL;
    return is_null ? NULL : room(c, (char *)db_text(stmt, column, c->out));
}

struct records_blob litecall_blob(struct litecall *c, sqlite3_stmt *stmt, int column)
{
    struct records_blob b = {0};
    if (sqlite3_column_type(stmt, column) != SQLITE_NULL)
        b.data = room(c, (void *)db_blob(stmt, column, c->out, &b.bytes));
    return b;
}

void litecall_rows(struct litecall *c, sqlite3_stmt *stmt, size_t item_bytes,
                   void (*read)(struct litecall *, sqlite3_stmt *, void *), void *out, size_t *count)
{
    unsigned char *items = NULL;
    size_t capacity = 0, n = 0, before = c->out->used_bytes;
    while (c->out->used_bytes - before < RECORDS_BATCH_BYTES && litecall_step(c, stmt)) {
        mem_grow(&items, &capacity, n + 1, item_bytes);
        read(c, stmt, items + n++ * item_bytes);
    }
    db_done(stmt);
    void *copy = c->code ? NULL : room(c, arena_dup(c->out, items, n * item_bytes));
    memcpy(out, &copy, sizeof copy);
    *count = c->code ? 0 : n;
    free(items);
}

struct model_counters litecall_counters(sqlite3_stmt *stmt, int column)
{
    struct model_counters n = {0};
    uint64_t *const places[] = {&n.generated, &n.succeeded,    &n.failed,  &n.timed_out, &n.cancelled,
                                &n.retried,   &n.redispatched, &n.running, &n.queued};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        *places[i] = db_u64(stmt, column++);
    n.generation_done = db_u64(stmt, column);
    return n;
}
