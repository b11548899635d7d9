// SPDX-License-Identifier: Apache-2.0
// state_redis_test.c: the state contract on one Redis and on three.
#include "base/url.h"
#include "servers/servers.h"
#include "state/state_redis.h"
#include "state_contract_fixture.h"

enum { SHARDS = 3 };

struct cluster {
    struct server *servers[SHARDS];
    size_t count;
};

static struct state *open_cluster(struct cluster *c)
{
    const char *urls[SHARDS];
    struct nrpc_status st = {0};
    struct state *s;
    for (size_t i = 0; i < c->count; i++)
        urls[i] = server_url(c->servers[i]);
    state_redis_open(&(struct state_redis_options){.urls = urls, .url_count = c->count}, &s, &st);
    assert_string_equal(st.text, "");
    bool verified;
    assert_int_equal(s->ops->verify(s, s->ops->incarnation(s, &verified), NULL, 0, &st), NRPC_OK);
    return s;
}

static struct state *open_fresh(void *user)
{
    struct cluster *c = user;
    char answer[64];
    for (size_t i = 0; i < c->count; i++)
        server_ask(c->servers[i], "FLUSHALL", answer, sizeof answer);
    struct state *s = open_cluster(c);
    if (c->count == 1) // the others keep to the form of programs from before
        server_ask(c->servers[0], "HSET dtf:{0}:meta format 3", answer, sizeof answer);
    return s;
}

static struct state *reopen(void *user, struct state *s)
{
    s->ops->close(s);
    return open_cluster(user);
}

static void discard(void *user, struct state *s)
{
    (void)user;
    if (s)
        s->ops->close(s);
}

static int run_contract(const char *name, size_t shards)
{
    struct cluster c = {.count = shards};
    for (size_t i = 0; i < shards; i++)
        c.servers[i] = server_redis(NULL);
    struct state_contract contract = {name, &c, open_fresh, reopen, discard};
    int failed = state_contract_run(&contract);
    for (size_t i = 0; i < shards; i++)
        server_destroy(c.servers[i]);
    return failed;
}

int main(void)
{
    return run_contract("one Redis", 1) + run_contract("three Redis", SHARDS);
}
