// SPDX-License-Identifier: Apache-2.0
// db.h: the one SQLite file of a process without servers; holds both stores' tables behind one connection.
//
// The connection has one owner at a time: db_begin takes it and starts a write transaction, db_commit or
// db_rollback gives it back. The lock is there because roles call the stores from their own threads and
// SQLite allows one writer.
#ifndef EMBEDDED_DB_H
#define EMBEDDED_DB_H

#include "base/status.h"
#include "records/records.h"
#include "state/state.h"

struct db;

// Opens (or makes) <data_dir>/dtf.db; data_dir NULL: in memory. The folder is made if it is missing. Refused
// with a clear text: unwritable folder, disk full, file of a newer version, or in use by another process (a
// lock on <data_dir>/lock says so).
int db_open(const char *data_dir, struct db **out, struct nrpc_status *st);
void db_close(struct db *db); // after both stores

// The two stores on it. Their close does not close the db.
struct state *state_sqlite_open(struct db *db);
struct records *records_sqlite_open(struct db *db);

#endif
