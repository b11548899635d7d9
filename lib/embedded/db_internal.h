// SPDX-License-Identifier: Apache-2.0
// db_internal.h: what the two stores on the embedded SQLite file share: transactions, statements, migrations,
// errors.
//
// A store's call is: db_begin, statements, then db_commit or db_rollback. Between them the calling thread
// owns the connection and everything a store keeps beside it. A statement belongs to whoever holds the
// connection; it is prepared at its first use and kept. Bound text and blobs are not copied: they must live
// until the statement was run.
#ifndef EMBEDDED_DB_INTERNAL_H
#define EMBEDDED_DB_INTERNAL_H

#include "embedded/db.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- migrations: each store has its own numbered list; entry i brings its tables from version i to i + 1

struct db_migrations {
    const char *store;      // "state"
    const char *const *sql; // each may be several statements
    size_t count;
};

extern const struct db_migrations state_migrations;   // lib/state/state_sqlite.c
extern const struct db_migrations records_migrations; // lib/records/records_sqlite_sql.c

// ---- transactions

enum db_mode {
    DB_READ,    // sees one consistent state; must not write
    DB_RELAXED, // a commit survives the process; an outage of the machine may take the last ones
    DB_DURABLE, // a commit survives the machine (it waits for the disk)
};

// Takes the connection and starts a transaction. On failure the connection is free again.
int db_begin(struct db *db, enum db_mode mode, struct nrpc_status *st);
// Ends it and frees the connection; a commit that fails is rolled back.
int db_commit(struct db *db, struct nrpc_status *st);
void db_rollback(struct db *db);

// All that was committed before survives an outage of the machine when this returns OK: one wait for the disk
// for any number of relaxed commits. Any thread, with no transaction of its own.
int db_sync(struct db *db, struct nrpc_status *st);

// Whether what is committed now is kept: that the file is still where it was, can be written, and has room;
// and that what failed last has succeeded since. Writes only if something failed. Any thread, with no
// transaction of its own.
int db_check(struct db *db, struct nrpc_status *st);

// ---- statements

struct db_statements { // of one store: a table of SQL texts, indexed by the store's enum
    struct db *db;
    const char *const *sql;
    size_t count;
    sqlite3_stmt **prepared;
};

void db_statements_init(struct db_statements *s, struct db *db, const char *const *sql, size_t count);
void db_statements_fini(struct db_statements *s);

// Statement `index`, reset, its parameters bound in order as `format` says:
//   i: int64_t   u: uint64_t (stored as int64_t)   t: const char * (NULL: NULL)   b: const void *, size_t
//   (NULL: NULL)
// Give every number its exact type: it goes through "...". Never NULL: an SQL text that does not compile
// aborts, unless the file is at fault; then the steps of the statement fail with that error.
sqlite3_stmt *db_bind(struct db_statements *s, int index, const char *format, ...);

// Steps: 1 a row, 0 the end (and reset), -1 failure (and reset); db_error says which.
int db_step(sqlite3_stmt *stmt);
// Runs a statement whose rows do not matter: 0, or -1.
int db_run(sqlite3_stmt *stmt);
// Gives a statement back that was not stepped to its end.
void db_done(sqlite3_stmt *stmt);
// Rows changed by the statement that was just run.
int64_t db_changes(struct db *db);

static inline uint64_t db_u64(sqlite3_stmt *stmt, int column)
{
    return (uint64_t)sqlite3_column_int64(stmt, column);
}

static inline int64_t db_i64(sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_int64(stmt, column);
}

// Copies of a column in an arena; NULL when it is NULL. An empty blob is not NULL.
const char *db_text(sqlite3_stmt *stmt, int column, struct arena *a);
const void *db_blob(sqlite3_stmt *stmt, int column, struct arena *a, size_t *bytes);

// The last failure on the connection as code and sentence: "<doing>: the disk is full".
int db_error(struct db *db, const char *doing, struct nrpc_status *st);

#endif
