// SPDX-License-Identifier: Apache-2.0
// litecall.h: one call of the SQLite record store: its transaction, its first failure, what it reads.
//
// Begin takes the connection, end commits (waiting for the disk, if it wrote) and frees it. The first failure
// sticks: later steps do nothing, end rolls back and returns it.
#ifndef RECORDS_LITECALL_H
#define RECORDS_LITECALL_H

#include "embedded/db_internal.h"
#include "records/records.h"

struct litestore {
    struct records records; // first: the interface's pointer is ours
    struct db_statements sql;
};

struct litecall {
    struct litestore *store;
    struct arena *out;    // the caller's; NULL if nothing is read
    struct arena scratch; // lives as long as the call
    struct nrpc_status *st;
    int code;
};

int litecall_begin(struct litecall *c, struct records *r, enum db_mode mode, struct arena *out,
                   struct nrpc_status *st);
int litecall_end(struct litecall *c);

#define BIND(c, index, ...) db_bind(&(c)->store->sql, index, __VA_ARGS__)

// True with a row; false at the end, and after a failure.
bool litecall_step(struct litecall *c, sqlite3_stmt *stmt);
void litecall_run(struct litecall *c, sqlite3_stmt *stmt);
// The one number that a statement gives, or `none`.
uint64_t litecall_number(struct litecall *c, sqlite3_stmt *stmt, uint64_t none);

// Columns, copied into the caller's arena; ten columns of counters.
const char *litecall_text(struct litecall *c, sqlite3_stmt *stmt, int column);
struct records_blob litecall_blob(struct litecall *c, sqlite3_stmt *stmt, int column);
struct model_counters litecall_counters(sqlite3_stmt *stmt, int column);

// Reads all rows of a statement, each by `read`, into an array in the caller's arena; ends early when that is
// large.
void litecall_rows(struct litecall *c, sqlite3_stmt *stmt, size_t item_bytes,
                   void (*read)(struct litecall *, sqlite3_stmt *, void *), void *out, size_t *count);

// Numbers from outside, as far as SQLite can count. No id or sequence gets near it.
static inline uint64_t litecall_clamp(uint64_t n)
{
    return n < INT64_MAX ? n : INT64_MAX;
}

#endif
