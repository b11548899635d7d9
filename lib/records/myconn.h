// SPDX-License-Identifier: Apache-2.0
// myconn.h: one connection to a MySQL database, and what its errors mean.
//
// A connection belongs to one thread at a time. It is utf8mb4, READ COMMITTED, strict (nothing is ever cut
// off silently), and waits less for a lock than for an answer. On a node of a Galera cluster it is causal: a
// read, and a transaction, begins when the node has applied everything that was committed before anywhere.
#ifndef RECORDS_MYCONN_H
#define RECORDS_MYCONN_H

#include "base/status.h"
#include "records/myurl.h"
#include "records/sqltext.h"

#include <mysql.h>
#include <stdbool.h>
#include <stdint.h>

enum myfate {       // what an error means for the connection and the transaction
    MYFATE_FAILED,  // the connection is fine; trying again does not help by itself
    MYFATE_AGAIN,   // the transaction met another one; made again, it may well pass
    MYFATE_REFUSED, // the connection is fine, nothing was done; another host may do it
    MYFATE_LOST,    // the connection is gone, the transaction with it
};

struct myconn {
    MYSQL *mysql;   // NULL: not connected
    unsigned error; // number of the error that the last opening ended with
    bool is_galera; // the server is a node of a Galera cluster
    size_t packet_max;
    uint64_t generation; // the pool's: of the choice of the host that it is connected to
    int fd;              // the pool's, under its lock: to be shut down when the host is left; -1: none
    struct sqltext sql;  // for the statement in work
};

struct mylimits { // seconds
    unsigned connect_s, io_s;
};

// To the host of this number. A plain one has the server's settings.
int myconn_open(struct myconn *c, const struct myurl *url, size_t host, const struct mylimits *limits,
                struct nrpc_status *st);
int myconn_open_plain(struct myconn *c, const struct myurl *url, size_t host, const struct mylimits *limits,
                      struct nrpc_status *st);
void myconn_close(struct myconn *c); // it can be opened again
void myconn_fini(struct myconn *c);

// Runs one statement; its result, if it has one, is to be taken by mysql_use_result or mysql_store_result.
int myconn_run(struct myconn *c, const char *sql, size_t bytes, enum myfate *fate, struct nrpc_status *st);
// Runs one and gives the one number in its result, or `none`.
int myconn_number(struct myconn *c, const char *sql, uint64_t none, uint64_t *out, struct nrpc_status *st);

// The last error on the connection, as code and sentence: "the record store failed: the disk is full".
int myconn_error(MYSQL *mysql, enum myfate *fate, struct nrpc_status *st);
// What an error means, in a few words: "the disk is full".
const char *myconn_means(unsigned number);

#endif
