// SPDX-License-Identifier: Apache-2.0
// mycall.h: one call of the MySQL record store: its connection, its transaction, its repetitions, its first
// failure, what it reads.
//
// The work of a call is a function that mycall_do runs between the start of a transaction and its commit, and
// runs again, in a new transaction, when that one met another (a deadlock; in a Galera cluster, one that
// another node committed first), or lost its connection, or its host takes no writes and there are others. So
// it must set everything it returns each time. The first failure sticks: later statements do nothing.
#ifndef RECORDS_MYCALL_H
#define RECORDS_MYCALL_H

#include "records/mypool.h"
#include "records/records.h"

#include <stdbool.h>

struct mystore {
    struct records records; // first: the interface's pointer is ours
    struct mypool *pool;
};

// What may be done again when a connection is lost while its transaction commits, so that nobody knows
// whether it did:
enum mykind {
    MYCALL_READ,       // no transaction: every statement reads for itself
    MYCALL_WRITE,      // done twice it is as done once; made again
    MYCALL_WRITE_ONCE, // not made again, UNAVAILABLE
};

struct mycall {
    struct records *records;
    struct myconn *conn;
    struct arena *out; // the caller's; NULL if nothing is read
    struct nrpc_status *st;
    int code;
    enum myfate fate;              // of code
    bool may_be_done;              // a run of this very call lost its connection while committing
    size_t waiting_bytes, waiting; // at the start of conn->sql: complete statements that were not sent yet
    MYSQL_RES *result;             // of the query in work
    MYSQL_ROW row;                 // its present row
    unsigned long *sizes;
    uint64_t at[6]; // of mycall_rows
};

int mycall_do(struct records *r, enum mykind kind, void (*work)(struct mycall *c, void *args), void *args,
              struct arena *out, struct nrpc_status *st);

int mycall_fail(struct mycall *c, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

// ---- statements (values in them: sqltext.h); they may only reach the server with a later one

void mycall_run(struct mycall *c, const char *format, ...);
// A statement over ids: `sql` up to them, then "(1,2,3)", then `tail`.
void mycall_run_ids(struct mycall *c, const char *sql, const uint64_t *ids, size_t count, const char *tail);

// INSERTs of many rows: each row is added, in as few statements as the server takes; flush ends the last one.
struct mybatch {
    const char *head, *tail; // "INSERT INTO t(a, b) VALUES", " ON DUPLICATE KEY ..."
};
void mycall_add_row(struct mycall *c, const struct mybatch *b, const char *format, ...);
void mycall_flush(struct mycall *c, const struct mybatch *b);

uint64_t mycall_changed(struct mycall *c); // rows, by the statement before

// Under Galera a row lock is the node's own: it keeps out no transaction of another node, unless both write
// the row. Who writes what must not pass by the end of these tasks, or ends them, says so here, before it
// reads any of them: what another node commits after this takes the transaction's lock away, and the
// transaction is made again; what it commits before is read. Elsewhere it does nothing.
void mycall_guard(struct mycall *c, const uint64_t *tasks, size_t count);

// A block of `count` numbers from a row of tbl_counter: the first. The row is locked until the commit.
uint64_t mycall_take_numbers(struct mycall *c, const char *name, uint64_t count);

// ---- queries: one at a time, read to their end or given up by mycall_done

void mycall_query(struct mycall *c, const char *format, ...);
void mycall_query_ids(struct mycall *c, const char *sql, const uint64_t *ids, size_t count, const char *tail);
bool mycall_next(struct mycall *c); // false at the end, and after a failure
void mycall_done(struct mycall *c); // reads and drops the rest
uint64_t mycall_number(struct mycall *c, uint64_t none, const char *format, ...); // the one that it gives

// Columns of the present row; NULL is 0. Text and blobs are copied into the caller's arena.
uint64_t mycall_u64(const struct mycall *c, int column);
int64_t mycall_i64(const struct mycall *c, int column);
const char *mycall_text(struct mycall *c, int column);
struct records_blob mycall_blob(struct mycall *c, int column);
struct model_counters mycall_counters(const struct mycall *c, int column); // ten columns

// Reads rows, each by `read`, into an array in the caller's arena; ends early when that is large. The server
// is asked page by page, so that little is sent in vain: $0..$4 in `sql` are c->at, $5 is the page's size,
// and `read` moves c->at on.
void mycall_rows(struct mycall *c, const char *sql, size_t max, size_t item_bytes,
                 void (*read)(struct mycall *, void *), void *out, size_t *count);

#endif
