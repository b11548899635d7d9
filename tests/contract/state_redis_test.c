// SPDX-License-Identifier: Apache-2.0
// state_redis_test.c: the state contract on one Redis and on three; with an argument, in a Redis Cluster.
#include "base/url.h"
#include "servers/servers.h"
#include "state/state_redis.h"
#include "state_contract_fixture.h"

#include <stdio.h>

enum { SERVERS = 3, SHARDS = 4 };

struct cluster {
    struct server *servers[SERVERS];
    size_t count;
    unsigned shards; // 0: as many as there are by themselves
    char url[120];   // of a Redis Cluster; "": it is none
};

static struct state *open_cluster(struct cluster *c)
{
    const char *urls[SERVERS];
    bool is_cluster = *c->url;
    struct nrpc_status st = {0};
    struct state *s;
    for (size_t i = 0; i < c->count; i++)
        urls[i] = is_cluster ? c->url : server_url(c->servers[i]);
    const struct state_redis_options o = {
        .urls = urls, .url_count = is_cluster ? 1 : c->count, .shards = c->shards};
    state_redis_open(&o, &s, &st);
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

static int run_contract(const char *name, struct cluster *c)
{
    struct state_contract contract = {name, c, open_fresh, reopen, discard};
    int failed = state_contract_run(&contract);
    for (size_t i = 0; i < c->count; i++)
        server_destroy(c->servers[i]);
    return failed;
}

static int run_servers(const char *name, size_t count)
{
    struct cluster c = {.count = count};
    for (size_t i = 0; i < count; i++)
        c.servers[i] = server_redis(NULL);
    return run_contract(name, &c);
}

static int run_cluster(const char *name)
{
    struct cluster c = {.count = SERVERS, .shards = SHARDS};
    char at[32];
    server_cluster(c.servers, SERVERS, 0, false);
    snprintf(c.url, sizeof c.url, "redis+cluster://%s", server_cluster_at(c.servers[1], at));
    return run_contract(name, &c);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc == 1)
        return run_servers("one Redis", 1) + run_servers("three Redis", SERVERS);
    return run_cluster("four shards in a Redis Cluster");
}
