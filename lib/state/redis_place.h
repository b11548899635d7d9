// SPDX-License-Identifier: Apache-2.0
// redis_place.h: where a Redis is, and a connection to it: an address, a Sentinel's master, or the server of
// a Redis Cluster that has a key. All functions may be called from any thread.
#ifndef STATE_REDIS_PLACE_H
#define STATE_REDIS_PLACE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

enum {
    REDIS_CONNECT_MS = 1000,
    REDIS_ANSWER_MS = 2000, // a Redis that takes longer counts as gone
};

struct redis_place;

bool redis_place_names_cluster(const char *address); // as a scheme; the rest of it may be wrong

// Reads the address, connects to nothing yet. key: what the server of a Redis Cluster is found by, and what
// tells this place from others with the same address; NULL: there are none. INVALID_ARGUMENT.
int redis_place_create(const char *address, const char *key, struct redis_place **out,
                       struct nrpc_status *st);
void redis_place_destroy(struct redis_place *p);           // NULL is allowed
const char *redis_place_name(const struct redis_place *p); // without user and password; with the key
bool redis_place_is_cluster(const struct redis_place *p);
bool redis_place_has_failover(const struct redis_place *p); // another server may take over: Sentinel, cluster

// A new connection, with name, password and database said.
int redis_place_connect(struct redis_place *p, redisContext **out, struct nrpc_status *st);

// Sends a command and waits for the answer, which is the caller's to free; never an error reply. When this
// fails and c->err is set, the connection must be freed.
int redis_place_command(const struct redis_place *p, redisContext *c, size_t count, const char *const *args,
                        const size_t *lengths, redisReply **out, struct nrpc_status *st);

// What an error reply means; sets c->err if another connection may find a better server.
int redis_place_refused(const struct redis_place *p, redisContext *c, const char *text,
                        struct nrpc_status *st);
int redis_place_broke(const struct redis_place *p, const redisContext *c, struct nrpc_status *st);
int redis_place_lost(const struct redis_place *p, const char *why, struct nrpc_status *st);

bool redis_place_is_late(const redisContext *c);   // its answer has not come in time
bool redis_place_has_moved(const redisContext *c); // the key is another server's: nothing was done

#endif
