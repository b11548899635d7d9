// SPDX-License-Identifier: Apache-2.0
// mycall.c: one call of the MySQL record store.
#include "records/mycall.h"

#include "base/clock.h"
#include "base/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    AGAIN_MAX = 8, // runs of a transaction that keeps meeting others
    AGAIN_GALERA_MS =
        10000,    // and as long at least, on a node: who comes second does not queue, but begins anew
    GUARDS = 256, // rows of tbl_counter that guard all tasks
    LOST_MAX = 1, // repetitions after a lost connection
    STATEMENT_BYTES = 1 << 20, // beyond it a row goes into the next statement
    PAGE_FIRST = 16,
    PAGE_MAX = 4096,
};

// ---- the frame

static void forget_statements(struct mycall *c)
{
    c->conn->sql.bytes = c->waiting_bytes = c->waiting = 0;
}

// Sends what waits, in one go; the result of the last one is the connection's. The server stops at the first
// that fails.
static void send_waiting(struct mycall *c)
{
    struct sqltext *sql = &c->conn->sql;
    if (!c->code && c->waiting)
        c->code = myconn_run(c->conn, sql->text, c->waiting_bytes - 1, &c->fate, c->st);
    for (; c->waiting > 1 && !c->code; c->waiting--)
        if (mysql_next_result(c->conn->mysql))
            c->code = myconn_error(c->conn->mysql, &c->fate, c->st);
    if (c->code) {
        forget_statements(c);
        return;
    }
    memmove(sql->text, sql->text + c->waiting_bytes, sql->bytes - c->waiting_bytes);
    sql->bytes -= c->waiting_bytes;
    c->waiting_bytes = c->waiting = 0;
}

static size_t statement_limit(const struct mycall *c)
{
    size_t half = c->conn->packet_max / 2;
    return half < STATEMENT_BYTES ? half : STATEMENT_BYTES;
}

// Ends the statement in work. It waits and goes with the next one whose result is looked at, so that a
// transaction takes few round trips. To a node of a Galera cluster each goes alone: one that another node's
// commit aborts between two statements of one packet says nothing, and the rest runs without a transaction.
static void finish_statement(struct mycall *c)
{
    if (c->waiting && (c->conn->is_galera || c->conn->sql.bytes > statement_limit(c)))
        send_waiting(c);
    if (c->code) {
        forget_statements(c);
        return;
    }
    sqltext_add(&c->conn->sql, ";");
    c->waiting_bytes = c->conn->sql.bytes;
    c->waiting++;
}

static struct mypool *pool_of(const struct mycall *c)
{
    return ((struct mystore *)c->records)->pool;
}

static void run_once(struct mycall *c, enum mykind kind, void (*work)(struct mycall *c, void *args),
                     void *args)
{
    c->code = NRPC_OK;
    c->fate = MYFATE_FAILED;
    forget_statements(c);
    if (kind != MYCALL_READ)
        mycall_run(c, "START TRANSACTION");
    work(c, args);
    mycall_done(c);
    if (kind == MYCALL_READ)
        return;
    if (!c->code) {
        mycall_run(c, "COMMIT");
        send_waiting(c);
        c->may_be_done |= c->code && c->fate == MYFATE_LOST;
    }
    // Also after a commit that failed: the next START TRANSACTION would commit what may be open still.
    if (c->code && c->fate != MYFATE_LOST && mysql_real_query(c->conn->mysql, "ROLLBACK", 8))
        mypool_disconnect(pool_of(c), c->conn); // which rolls back as well
}

static bool may_meet_others_again(const struct mycall *c, unsigned run, int64_t begin_us)
{
    return run < AGAIN_MAX || (c->conn->is_galera && clock_mono_us() - begin_us < AGAIN_GALERA_MS * 1000ll);
}

// Whether the call is to be run again; waits before that if it met others.
static bool is_again(const struct mycall *c, enum mykind kind, unsigned run, int64_t begin_us, unsigned *lost)
{
    if (!c->code || c->fate == MYFATE_FAILED)
        return false;
    if (c->may_be_done && kind == MYCALL_WRITE_ONCE)
        return false;
    if (c->fate == MYFATE_LOST)
        return (*lost)++ < LOST_MAX;
    if (c->fate == MYFATE_REFUSED)
        return mypool_doubt(pool_of(c), c->conn) && (*lost)++ < LOST_MAX;
    if (!may_meet_others_again(c, run, begin_us))
        return false;
    usleep((useconds_t)(ids_random() % (1000u << (run < 6 ? run : 6)))); // up to 64 ms
    return true;
}

static void run_all(struct mycall *c, struct mypool *pool, enum mykind kind,
                    void (*work)(struct mycall *c, void *args), void *args)
{
    unsigned run = 0, lost = 0;
    const int64_t begin_us = clock_mono_us();
    do {
        c->code = mypool_connect(pool, c->conn, c->st);
        if (c->code)
            return;
        run_once(c, kind, work, args);
        if (c->code && c->fate == MYFATE_LOST) {
            mypool_disconnect(pool, c->conn);
            mypool_doubt(pool, c->conn);
        }
    } while (is_again(c, kind, ++run, begin_us, &lost));
}

int mycall_do(struct records *r, enum mykind kind, void (*work)(struct mycall *c, void *args), void *args,
              struct arena *out, struct nrpc_status *st)
{
    struct mycall c = {.records = r, .out = out, .st = st};
    struct mypool *pool = pool_of(&c);
    int code = mypool_take(pool, &c.conn, st);
    if (code)
        return code;
    run_all(&c, pool, kind, work, args);
    mypool_give(pool, c.conn);
    if (c.code && c.may_be_done)
        return status_set(st, NRPC_UNAVAILABLE,
                          "the connection to the database was lost while it committed: it may be done");
    return c.code;
}

int mycall_fail(struct mycall *c, int code, const char *format, ...)
{
    if (c->code)
        return c->code;
    va_list args;
    va_start(args, format);
    c->fate = MYFATE_FAILED;
    c->code = status_setv(c->st, code, format, args);
    va_end(args);
    return c->code;
}

// ---- statements

void mycall_run(struct mycall *c, const char *format, ...)
{
    va_list args;
    if (c->code)
        return;
    va_start(args, format);
    sqltext_addv(&c->conn->sql, format, args);
    va_end(args);
    finish_statement(c);
}

void mycall_run_ids(struct mycall *c, const char *sql, const uint64_t *ids, size_t count, const char *tail)
{
    sqltext_add(&c->conn->sql, "$s", sql);
    sqltext_add_ids(&c->conn->sql, ids, count);
    sqltext_add(&c->conn->sql, "$s", tail);
    finish_statement(c);
}

void mycall_add_row(struct mycall *c, const struct mybatch *b, const char *format, ...)
{
    va_list args;
    struct sqltext *sql = &c->conn->sql;
    if (sql->bytes - c->waiting_bytes > statement_limit(c))
        mycall_flush(c, b);
    if (c->code)
        return;
    sqltext_add(sql, "$s", sql->bytes > c->waiting_bytes ? "," : b->head);
    va_start(args, format);
    sqltext_addv(sql, format, args);
    va_end(args);
}

void mycall_flush(struct mycall *c, const struct mybatch *b)
{
    if (c->conn->sql.bytes == c->waiting_bytes)
        return;
    sqltext_add(&c->conn->sql, "$s", b->tail);
    finish_statement(c);
}

uint64_t mycall_changed(struct mycall *c)
{
    send_waiting(c);
    return c->code ? 0 : mysql_affected_rows(c->conn->mysql);
}

void mycall_guard(struct mycall *c, const uint64_t *tasks, size_t count)
{
    static const struct mybatch batch = {"INSERT INTO tbl_counter VALUES",
                                         " ON DUPLICATE KEY UPDATE next_id = next_id + 1"};
    bool is_guarded[GUARDS] = {false};
    if (!c->conn->is_galera)
        return;
    for (size_t i = 0; i < count; i++)
        is_guarded[tasks[i] % GUARDS] = true;
    for (unsigned i = 0; i < GUARDS; i++) { // in this order, so that they wait for each other on one node
        char name[24];
        snprintf(name, sizeof name, "tbl_guard/%03u", i);
        if (is_guarded[i])
            mycall_add_row(c, &batch, "($t,1)", name);
    }
    mycall_flush(c, &batch);
}

uint64_t mycall_take_numbers(struct mycall *c, const char *name, uint64_t count)
{
    mycall_run(c,
               "INSERT INTO tbl_counter VALUES($t, $u) "
               "ON DUPLICATE KEY UPDATE next_id = LAST_INSERT_ID(next_id) + $u",
               name, count + 1, count);
    send_waiting(c);
    if (c->code)
        return 0;
    return mysql_affected_rows(c->conn->mysql) == 1 ? 1 : mysql_insert_id(c->conn->mysql);
}

// ---- queries

static void open_result(struct mycall *c)
{
    finish_statement(c);
    send_waiting(c);
    if (c->code)
        return;
    c->result = mysql_use_result(c->conn->mysql);
    if (!c->result)
        c->code = myconn_error(c->conn->mysql, &c->fate, c->st);
}

void mycall_query(struct mycall *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqltext_addv(&c->conn->sql, format, args);
    va_end(args);
    open_result(c);
}

void mycall_query_ids(struct mycall *c, const char *sql, const uint64_t *ids, size_t count, const char *tail)
{
    sqltext_add(&c->conn->sql, "$s", sql);
    sqltext_add_ids(&c->conn->sql, ids, count);
    sqltext_add(&c->conn->sql, "$s", tail);
    open_result(c);
}

bool mycall_next(struct mycall *c)
{
    c->row = !c->code && c->result ? mysql_fetch_row(c->result) : NULL;
    if (c->row) {
        c->sizes = mysql_fetch_lengths(c->result);
        return true;
    }
    if (!c->code && c->result && mysql_errno(c->conn->mysql))
        c->code = myconn_error(c->conn->mysql, &c->fate, c->st);
    mycall_done(c);
    return false;
}

void mycall_done(struct mycall *c)
{
    if (c->result)
        mysql_free_result(c->result);
    c->result = NULL;
    c->row = NULL;
}

uint64_t mycall_number(struct mycall *c, uint64_t none, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqltext_addv(&c->conn->sql, format, args);
    va_end(args);
    open_result(c);
    uint64_t n = mycall_next(c) && c->row[0] ? mycall_u64(c, 0) : none;
    mycall_done(c);
    return n;
}

// ---- columns

uint64_t mycall_u64(const struct mycall *c, int column)
{
    return c->row[column] ? strtoull(c->row[column], NULL, 10) : 0;
}

int64_t mycall_i64(const struct mycall *c, int column)
{
    return c->row[column] ? strtoll(c->row[column], NULL, 10) : 0;
}

static void *room(struct mycall *c, void *p)
{
    if (!p)
        mycall_fail(c, NRPC_RESOURCE_EXHAUSTED, "the answer does not fit in its memory budget");
    return p;
}

const char *mycall_text(struct mycall *c, int column)
{
    if (!c->row[column])
        return NULL;
    char *text = room(c, arena_alloc(c->out, c->sizes[column] + 1));
    if (!text)
        return NULL;
    memcpy(text, c->row[column], c->sizes[column]);
    text[c->sizes[column]] = 0;
    return text;
}

struct records_blob mycall_blob(struct mycall *c, int column)
{
    struct records_blob b = {0};
    if (c->row[column])
        b.data = room(c, arena_dup(c->out, c->row[column], c->sizes[column]));
    b.bytes = b.data ? c->sizes[column] : 0;
    return b;
}

struct model_counters mycall_counters(const struct mycall *c, int column)
{
    struct model_counters n = {0};
    uint64_t *const places[] = {&n.generated, &n.succeeded,    &n.failed,  &n.timed_out, &n.cancelled,
                                &n.retried,   &n.redispatched, &n.running, &n.queued};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        *places[i] = mycall_u64(c, column++);
    n.generation_done = mycall_u64(c, column) != 0;
    return n;
}

// ---- arrays

struct items {
    unsigned char *data;
    size_t capacity, count, item_bytes, arena_before;
};

static bool is_full(const struct mycall *c, const struct items *items)
{
    return c->out->used_bytes - items->arena_before >= RECORDS_BATCH_BYTES;
}

// True if there may be more.
static bool read_page(struct mycall *c, const char *sql, size_t rows, void (*read)(struct mycall *, void *),
                      struct items *items)
{
    size_t n = 0;
    c->at[5] = rows;
    sqltext_add_numbers(&c->conn->sql, sql, c->at);
    open_result(c);
    while (!is_full(c, items) && mycall_next(c)) {
        mem_grow(&items->data, &items->capacity, items->count + 1, items->item_bytes);
        read(c, items->data + items->count++ * items->item_bytes);
        n++;
    }
    mycall_done(c);
    return n == rows;
}

void mycall_rows(struct mycall *c, const char *sql, size_t max, size_t item_bytes,
                 void (*read)(struct mycall *, void *), void *out, size_t *count)
{
    struct items items = {.item_bytes = item_bytes, .arena_before = c->out->used_bytes};
    bool more = max > 0;
    for (size_t rows = PAGE_FIRST; more && !c->code && !is_full(c, &items) && items.count < max;
         rows = rows < PAGE_MAX ? rows * 4 : PAGE_MAX) {
        size_t left = max - items.count;
        more = read_page(c, sql, rows < left ? rows : left, read, &items);
    }
    void *copy = c->code ? NULL : room(c, arena_dup(c->out, items.data, items.count * item_bytes));
    memcpy(out, &copy, sizeof copy);
    *count = c->code ? 0 : items.count;
    free(items.data);
}
