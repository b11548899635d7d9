// SPDX-License-Identifier: Apache-2.0
// mypool.h: the connections of one MySQL record store: a fixed number of places, each connected when it is
// needed.
//
// Who takes a place owns it until it is given back; a connection that is found lost is closed and opened
// again in its place. All are to one host (myhosts.h). When that is left their sockets are shut down, so that
// calls which wait for its answers find their connections lost.
#ifndef RECORDS_MYPOOL_H
#define RECORDS_MYPOOL_H

#include "records/myconn.h"
#include "records/myhosts.h"

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
// Connects a place that was taken to the host that is used, if it is not.
int mypool_connect(struct mypool *p, struct myconn *c, struct nrpc_status *st);
void mypool_disconnect(struct mypool *p, struct myconn *c);
// The host that the place is connected to, or was last, has refused or failed; false: there is no other one.
bool mypool_doubt(struct mypool *p, const struct myconn *c);

const struct myurl *mypool_url(const struct mypool *p);
struct myhosts *mypool_hosts(struct mypool *p);

#endif
