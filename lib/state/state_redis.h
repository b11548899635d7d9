// SPDX-License-Identifier: Apache-2.0
// state_redis.h: the state store on Redis, for any number of processes on any number of machines.
//
// The state is spread over shards: a task lives in shard (id modulo the number of shards), nodes are known to
// all. Shards lie on one Redis server, on several, or in a Redis Cluster, whose own tools move them.
// docs/REDIS.md describes every key. Redis 6.2 or newer; of a cluster, 7.0.
#ifndef STATE_REDIS_H
#define STATE_REDIS_H

#include "state/state.h"

enum { STATE_REDIS_SHARDS_MAX = 64, STATE_REDIS_CLUSTER_SHARDS = 16 };

enum { STATE_REDIS_FORMAT = 3 }; // of what is in Redis
#define STATE_REDIS_NEVER                                                                                    \
    INT64_C(9007199254740992) // as a time: the largest number that a double holds exactly

struct state_redis_options {
    // Always in the same order: redis://[user[:password]@]host[:port][/database],
    // redis+unix://[user[:password]@]/path/to/socket[?db=number],
    // redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/master-name[?db=number]; or one
    // redis+cluster://[user[:password]@]host[:port][,host[:port]...], any of the cluster's servers.
    const char *const *urls;
    size_t url_count; // 1..STATE_REDIS_SHARDS_MAX
    // url_count..STATE_REDIS_SHARDS_MAX; 0: one a server, STATE_REDIS_CLUSTER_SHARDS in a cluster. Redis
    // remembers it, and another number is refused.
    unsigned shards;
    uint64_t installation; // whose state it is: another's is refused; 0: not known, anybody's will do
    // Gives `count` ids that were never given before, the first of them in *first: nodes are to have numbers
    // that stay unique when Redis was wiped. NULL: they are counted in Redis. Called from any thread.
    int (*next_ids)(void *user, uint64_t count, uint64_t *first, struct nrpc_status *st);
    void *user;
};

// Connects to every shard once: UNAVAILABLE if one does not answer (try again later), FAILED_PRECONDITION if
// one is configured to throw keys away (maxmemory-policy) or holds another shard or another installation's
// state, INVALID_ARGUMENT for an
// address that is none. The options' strings are copied. While the store is watched, a thread a shard follows
// what other processes change, and sets this process's clock (clock_follow) by the first shard's.
int state_redis_open(const struct state_redis_options *o, struct state **out, struct nrpc_status *st);

#endif
