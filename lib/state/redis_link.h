// SPDX-License-Identifier: Apache-2.0
// redis_link.h: the connections to one Redis: made when they are needed, kept, dropped at the first error;
// scripts run through them. All functions may be called from any thread.
#ifndef STATE_REDIS_LINK_H
#define STATE_REDIS_LINK_H

#include "state/redis_place.h"

enum { REDIS_CONNECTIONS_MAX = 32 };

struct redis_script { // generated from redis/*.lua, behind redis/lib/*.lua
    const char *name, *digest, *text;
};

struct redis_link;

// `hello` is called with every new connection before anything else goes through it.
typedef int (*redis_hello_fn)(void *user, redisContext *c, struct nrpc_status *st);

// Address and key as redis_place_create takes them; connects to nothing yet. INVALID_ARGUMENT.
int redis_link_create(const char *address, const char *key, redis_hello_fn hello, void *user,
                      struct redis_link **out, struct nrpc_status *st);
void redis_link_destroy(struct redis_link *l);                    // nothing may be using it; NULL is allowed
struct redis_place *redis_link_place(const struct redis_link *l); // for connections of the caller's own
const char *redis_link_name(const struct redis_link *l);          // the place's

// Sends a command and waits for the answer, which is the caller's to free; never an error reply. UNAVAILABLE
// when Redis is gone, does not answer, or takes no writes (the text says which); INTERNAL for any other
// error.
int redis_link_command(struct redis_link *l, size_t count, const char *const *args, const size_t *lengths,
                       redisReply **out, struct nrpc_status *st);

// Runs a script by its digest, teaching it to Redis first if need be. args[0] and args[1] are set by this:
// leave room.
enum { REDIS_SCRIPT_ARGS = 2 };
int redis_link_script(struct redis_link *l, const struct redis_script *script, size_t count,
                      const char **args, size_t *lengths, redisReply **out, struct nrpc_status *st);
int redis_script_on(struct redis_link *l, redisContext *c, const struct redis_script *script, size_t count,
                    const char **args, size_t *lengths, redisReply **out, struct nrpc_status *st);

#endif
