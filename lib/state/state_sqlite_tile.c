// SPDX-License-Identifier: Apache-2.0
// state_sqlite_tile.c: subtasks by the tile: reading, writing and forgetting them, and what each is to
// execute.
//
// A params row lies within one tile. Its data is, for each subtask, a struct head and then the param.
#include "state/state_sqlite_internal.h"

struct head {
    uint32_t timeout_ms, bytes;
};

// ---- tiles

int64_t sq_tile_retry_ms(const struct sq_tile *tile)
{
    int64_t least = CLOCK_NEVER;
    for (int i = 0; i < SQ_TILE; i++)
        if (tile->subtasks[i].state == SQ_WAITING && tile->subtasks[i].due_ms < least)
            least = tile->subtasks[i].due_ms;
    return least;
}

static struct sq_tile *tile_cached(struct sq_call *c, const struct sq_tile_key *key)
{
    struct sq_tile *tile = c->last_tile;
    if (tile && tile->key.task == key->task && tile->key.number == key->number)
        return tile;
    // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): uthash reads just the key's bytes
    HASH_FIND(hh, c->tiles, key, sizeof *key, tile);
    return c->last_tile = tile;
}

static struct sq_tile *tile_add(struct sq_call *c, const struct sq_tile_key *key)
{
    struct sq_tile *tile = arena_calloc(&c->scratch, sizeof *tile);
    tile->key = *key;
    tile->stored_retry_ms = CLOCK_NEVER;
    HASH_ADD(hh, c->tiles, key, sizeof tile->key, tile);
    return c->last_tile = tile;
}

static void tile_load(struct sq_call *c, struct sq_tile *tile, sqlite3_stmt *stmt, int column)
{
    if (sqlite3_column_bytes(stmt, column) != (int)sizeof tile->subtasks) {
        sq_fail(c, NRPC_DATA_LOSS, "the state store is damaged: a tile of %d bytes",
                sqlite3_column_bytes(stmt, column));
        return;
    }
    memcpy(tile->subtasks, sqlite3_column_blob(stmt, column), sizeof tile->subtasks);
    tile->stored = true;
    tile->stored_retry_ms = sq_tile_retry_ms(tile);
}

struct sq_tile *sq_tile_get(struct sq_call *c, uint64_t task, uint64_t number)
{
    struct sq_tile_key key = {task, number};
    struct sq_tile *tile = tile_cached(c, &key);
    if (tile || c->code)
        return c->code ? NULL : tile;
    sqlite3_stmt *stmt = sq_bind(c, SQL_TILE_GET, "uu", task, number);
    tile = tile_add(c, &key);
    if (sq_step(c, stmt)) {
        tile_load(c, tile, stmt, 0);
        db_done(stmt);
    }
    return c->code ? NULL : tile;
}

struct sq_subtask *sq_subtask_get(struct sq_call *c, uint64_t task, uint64_t seq, struct sq_tile **tile)
{
    *tile = sq_tile_get(c, task, sq_tile_number(seq));
    return *tile ? &(*tile)->subtasks[(seq - 1) % SQ_TILE] : NULL;
}

static int count_state(const struct sq_tile *tile, enum sq_subtask_state state)
{
    int n = 0;
    for (int i = 0; i < SQ_TILE; i++)
        n += tile->subtasks[i].state == state;
    return n;
}

static void tile_delete(struct sq_call *c, struct sq_tile *tile)
{
    uint64_t first = tile->key.number * SQ_TILE + 1;
    if (tile->stored)
        sq_run(c, sq_bind(c, SQL_TILE_DELETE, "uu", tile->key.task, tile->key.number));
    sq_run(c, sq_bind(c, SQL_PARAMS_DELETE, "uuu", tile->key.task, first, first + SQ_TILE - 1));
    tile->stored = false;
}

static void tile_flush(struct sq_call *c, struct sq_tile *tile)
{
    int64_t retry_ms = sq_tile_retry_ms(tile), leased = count_state(tile, SQ_LEASED);
    const struct sq_tile_key *key = &tile->key;
    const void *data = tile->subtasks;
    size_t bytes = sizeof tile->subtasks;
    tile->dirty = false;
    if (count_state(tile, SQ_DONE) == SQ_TILE) {
        tile_delete(c, tile);
        return;
    }
    if (!tile->stored)
        sq_run(c,
               sq_bind(c, SQL_TILE_INSERT, "uuiib", key->task, key->number, leased, retry_ms, data, bytes));
    else if (retry_ms != tile->stored_retry_ms)
        sq_run(c, sq_bind(c, SQL_TILE_UPDATE_RETRY, "uuiib", key->task, key->number, leased, retry_ms, data,
                          bytes));
    else
        sq_run(c, sq_bind(c, SQL_TILE_UPDATE, "uuib", key->task, key->number, leased, data, bytes));
    tile->stored = true;
    tile->stored_retry_ms = retry_ms;
}

void sq_tile_flush_all(struct sq_call *c)
{
    for (struct sq_tile *tile = c->tiles; tile && !c->code; tile = tile->hh.next)
        if (tile->dirty)
            tile_flush(c, tile);
}

// ---- leased subtasks

bool sq_lease_find(struct sq_call *c, const struct state_ref *ref, struct sq_lease *out)
{
    struct sq_task *t = ref->seq ? sq_task_find(c, ref->task) : NULL;
    if (!t || ref->seq >= t->cursor || !t->counters.running)
        return false;
    *out = (struct sq_lease){.task = t, .seq = ref->seq};
    out->subtask = sq_subtask_get(c, ref->task, ref->seq, &out->tile);
    return out->subtask && out->subtask->state == SQ_LEASED && out->subtask->attempt == ref->attempt;
}

static void call_leased(struct sq_call *c, struct sq_task *t, struct sq_tile *tile, sq_lease_fn fn,
                        void *user)
{
    for (int i = 0; i < SQ_TILE && !c->code; i++)
        if (tile->subtasks[i].state == SQ_LEASED) {
            struct sq_lease lease = {t, tile, &tile->subtasks[i],
                                     tile->key.number * SQ_TILE + (uint64_t)i + 1};
            fn(c, &lease, user);
        }
}

// The rows are read to their end before fn may change any.
void sq_lease_each(struct sq_call *c, uint64_t task, sq_lease_fn fn, void *user)
{
    sqlite3_stmt *stmt = task ? sq_bind(c, SQL_TILE_LEASED_OF, "u", task) : sq_bind(c, SQL_TILE_LEASED, "");
    struct sq_tile **tiles = NULL;
    size_t count = 0, capacity = 0;
    while (sq_step(c, stmt)) {
        struct sq_tile_key key = {db_u64(stmt, 0), db_u64(stmt, 1)};
        struct sq_tile *tile = tile_cached(c, &key);
        if (!tile) {
            tile = tile_add(c, &key);
            tile_load(c, tile, stmt, 2);
        }
        mem_grow(&tiles, &capacity, count + 1, sizeof *tiles);
        tiles[count++] = tile;
    }
    for (size_t i = 0; i < count && !c->code; i++) {
        struct sq_task *t = sq_task_find(c, tiles[i]->key.task);
        if (t)
            call_leased(c, t, tiles[i], fn, user);
    }
    free(tiles);
}

void sq_lease_return(struct sq_call *c, const struct sq_lease *l, int64_t ready_ms)
{
    struct sq_task *t = l->task;
    sq_node_count(c, l->subtask->node, -1, 0);
    t->changed = l->tile->dirty = true;
    t->counters.running--;
    l->subtask->node = 0;
    if (!sq_task_is_live(t)) {
        t->counters.cancelled++;
        l->subtask->state = SQ_DONE;
        return;
    }
    t->counters.queued++;
    l->subtask->state = SQ_WAITING;
    l->subtask->due_ms = ready_ms;
}

// ---- params

static size_t row_count(uint64_t first, const struct state_subtask *subtasks, size_t count, size_t *bytes)
{
    size_t n = 0, room = SQ_TILE - (size_t)((first - 1) % SQ_TILE);
    *bytes = 0;
    while (n < count && n < room) {
        size_t more = sizeof(struct head) + subtasks[n].param.bytes;
        if (n && *bytes + more > SQ_PARAMS_BYTES)
            break;
        *bytes += more;
        n++;
    }
    return n;
}

static void row_put(struct sq_call *c, uint64_t task, uint64_t first, const struct state_subtask *subtasks,
                    size_t n, unsigned char *buffer, size_t bytes)
{
    unsigned char *at = buffer;
    for (size_t i = 0; i < n; i++) {
        struct head head = {subtasks[i].timeout_ms, (uint32_t)subtasks[i].param.bytes};
        at = mempcpy(at, &head, sizeof head);
        if (head.bytes)
            at = mempcpy(at, subtasks[i].param.data, head.bytes);
    }
    sq_run(c, sq_bind(c, SQL_PARAMS_INSERT, "uuub", task, first, (uint64_t)n, (const void *)buffer, bytes));
}

void sq_params_put(struct sq_call *c, uint64_t task, uint64_t first, const struct state_subtask *subtasks,
                   size_t count)
{
    unsigned char *buffer = NULL;
    size_t capacity = 0, bytes;
    while (count && !c->code) {
        size_t n = row_count(first, subtasks, count, &bytes);
        mem_grow(&buffer, &capacity, bytes, 1);
        row_put(c, task, first, subtasks, n, buffer, bytes);
        first += n;
        subtasks += n;
        count -= n;
    }
    free(buffer);
}

static struct sq_params *params_load(struct sq_call *c, struct sq_tile *tile, uint64_t seq)
{
    sqlite3_stmt *stmt = sq_bind(c, SQL_PARAMS_GET, "uu", tile->key.task, seq);
    if (!sq_step(c, stmt))
        return NULL;
    struct sq_params *p = arena_calloc(&c->scratch, sizeof *p);
    p->first = db_u64(stmt, 0);
    p->count = db_u64(stmt, 1);
    p->data = db_blob(stmt, 2, c->out, &p->bytes);
    db_done(stmt);
    if (!p->data) {
        sq_fail(c, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
        return NULL;
    }
    p->next = tile->params;
    tile->params = p;
    return p;
}

bool sq_params_get(struct sq_call *c, struct sq_tile *tile, uint64_t seq, uint32_t *timeout_ms,
                   struct state_blob *param)
{
    if (c->code)
        return false;
    struct sq_params *p = tile->params;
    while (p && (seq < p->first || seq >= p->first + p->count))
        p = p->next;
    if (!p)
        p = params_load(c, tile, seq);
    if (!p || seq >= p->first + p->count)
        return sq_fail(c, NRPC_DATA_LOSS,
                       "the state store is damaged: subtask %llu of task %llu has no param",
                       (unsigned long long)seq, (unsigned long long)tile->key.task);
    struct head head;
    const unsigned char *at = p->data;
    for (uint64_t i = p->first;; i++) {
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        if (i == seq)
            break;
        at += head.bytes;
    }
    *timeout_ms = head.timeout_ms;
    *param = (struct state_blob){at, head.bytes};
    return true;
}
