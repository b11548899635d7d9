// SPDX-License-Identifier: Apache-2.0
// records_mysql.h: the record store in a MySQL or MariaDB database, for any number of processes.
//
// Any thread may call it: a call takes a connection of its own from the pool for as long as it lasts. A
// connection that was lost is made anew by the next call that needs it, so a store that was opened once
// outlives every restart of its server; while the server is away, calls are UNAVAILABLE. With several hosts
// it goes on at another one within two seconds; a call that was under way is repeated there or UNAVAILABLE,
// as after any lost connection. Time goes through arguments, as in records.h; the server's clock and time
// zone do not matter.
//
// Several processes may open the same empty database at once. The schema is numbered: a database of a higher
// number than this program knows is refused when it is opened. A process that has it open while a newer one
// raises the number may go on; migrations only add what an older program does not look at.
#ifndef RECORDS_MYSQL_H
#define RECORDS_MYSQL_H

#include "records/records.h"

struct records_mysql_options { // zero is a good default for all but `url`
    // mysql://user:password@host:port/database or mysql://user@/database?socket=/path; copied. A host is
    // spoken to over TCP, without one it is the socket (default: the client library's). The port is 3306 if
    // left out. %XX stands for a byte, in every part. IPv6 addresses stand in brackets. There is no TLS here:
    // a tls parameter, as any unknown one, is refused. Up to 8 hosts, separated by commas: the nodes of a
    // Galera cluster, or a primary and its replicas; one of them is used (myhosts.h).
    const char *url;
    unsigned connections; // in the pool, at most, 1..1000; 0: 8
    int64_t wait_ms;      // for a free connection; 0: 5000
    int64_t connect_ms;   // time limits, rounded up to seconds; 0: 2000
    int64_t io_ms;        // for every read and write on a connection; 0: 5000
    bool migrate;         // bring an older or empty database to the present schema; false: refuse it
};

// Opens the store, making one connection. The pool and the options are the store's own; ops->close frees
// them, after the last call has returned. Errors, with *out untouched and st saying why in one sentence:
//   INVALID_ARGUMENT     the url cannot be read
//   UNAVAILABLE          cannot connect, too many connections, read-only: may pass, try again
//   FAILED_PRECONDITION  wrong user or password, unknown database, a schema that is newer than this program,
//                        or older and `migrate` is false: trying again does not help
int records_mysql_open(const struct records_mysql_options *o, struct records **out, struct nrpc_status *st);

// Brings the database to the present schema and closes it again; harmless if it has it. Waits up to a minute
// for another process that does the same. Errors as of records_mysql_open.
int records_mysql_migrate(const char *url, struct nrpc_status *st);

#endif
