// SPDX-License-Identifier: Apache-2.0
// mypool.h: the connections of one MySQL record store: a fixed number of places, each connected when it is
// needed.
//
// Who takes a place owns it until it is given back; a connection that is found lost is closed and opened
// again in its place.
#ifndef RECORDS_MYPOOL_H
#define RECORDS_MYPOOL_H

#include "records/myconn.h"

#include <stdint.h>

struct mypool_options {
    unsigned connections;
    int64_t wait_ms;
    struct mylimits limits;
};

struct mypool;

// INVALID_ARGUMENT: the url. Connects nothing yet.
int mypool_create(const char *url, const struct mypool_options *o, struct mypool **out,
                  struct nrpc_status *st);
void mypool_destroy(struct mypool *p); // with all places given back; NULL is fine

// Takes the place that was used last; waits for one. It may not be connected. UNAVAILABLE: none was free in
// time.
int mypool_take(struct mypool *p, struct myconn **out, struct nrpc_status *st);
void mypool_give(struct mypool *p, struct myconn *c);
// Connects a place that was taken, if it is not.
int mypool_connect(struct mypool *p, struct myconn *c, struct nrpc_status *st);

#endif
