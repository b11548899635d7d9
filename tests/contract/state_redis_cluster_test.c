// SPDX-License-Identifier: Apache-2.0
// state_redis_cluster_test.c: a shard in a Redis Cluster while its slot is moved, step by step: nothing runs
// on half of it. And addresses and numbers of shards that are refused.
#include "base/clock.h"
#include "servers/servers.h"
#include "state/state_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SERVERS = 3, TASKS = 20, MOVED_AT_ONCE = 3 };

static struct server *servers[SERVERS];
static char url[64];
static struct nrpc_status st;
static struct state *s;

#define must(call) assert_string_equal((call) ? st.text : "", "")

static int open_with(const char *address, unsigned shards)
{
    return state_redis_open(&(struct state_redis_options){.urls = &address, .url_count = 1, .shards = shards},
                            &s, &st);
}

static int setup(void **state)
{
    char at[32], answer[64];
    bool verified;
    (void)state;
    for (int i = 0; i < SERVERS; i++)
        server_ask(servers[i], "FLUSHALL", answer, sizeof answer);
    snprintf(url, sizeof url, "redis+cluster://%s", server_cluster_at(servers[0], at));
    must(open_with(url, 1));
    must(s->ops->verify(s, s->ops->incarnation(s, &verified), NULL, 0, &st));
    for (uint64_t id = 1; id <= TASKS; id++) {
        const struct state_task t = {.id = id,
                                     .type = "count",
                                     .group = "g",
                                     .deadline_ms = CLOCK_NEVER,
                                     .policy = {.max_retries = 0, .tolerated_failures = -1}};
        must(s->ops->admit(s, &t, 1, &st));
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    s->ops->close(s);
    return 0;
}

// ---- moving a slot by hand

static void order(const struct server *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void order(const struct server *to, const char *format, ...)
{
    char command[2000], answer[200];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    server_ask(to, command, answer, sizeof answer);
    if (strncmp(answer, "+OK", 3) != 0 && strncmp(answer, "+NOKEY", 6) != 0)
        fail_msg("%s: %s", command, answer);
}

static long number(const struct server *to, const char *command)
{
    char answer[100];
    server_ask(to, command, answer, sizeof answer);
    return *answer == ':' ? strtol(answer + 1, NULL, 10) : -1;
}

static int find_owner(void)
{
    int i = 0;
    while (number(servers[i], "EXISTS dtf:{0}:meta") != 1)
        i++;
    return i;
}

// Moves some keys of the slot; how many.
static size_t move_keys(const struct server *from, const struct server *to, long slot)
{
    char command[80], keys[2000] = "", answer[2000];
    size_t count = 0;
    snprintf(command, sizeof command, "CLUSTER GETKEYSINSLOT %ld %d", slot, MOVED_AT_ONCE);
    server_ask(from, command, answer, sizeof answer);
    for (char *at = answer; (at = strstr(at, "dtf:{")); count++) {
        size_t n = strcspn(at, "\r");
        snprintf(keys + strlen(keys), sizeof keys - strlen(keys), " %.*s", (int)n, at);
        at += n;
    }
    if (count)
        order(from, "MIGRATE 127.0.0.1 %u \"\" 0 5000 KEYS%s", server_port(to), keys);
    return count;
}

static void assert_stands_still(void)
{
    uint64_t tasks[] = {1}, *found;
    struct state_progress progress;
    struct arena a;
    size_t count;
    arena_init(&a, 0);
    assert_int_equal(s->ops->pause(s, 2, true, &st), NRPC_UNAVAILABLE);
    assert_non_null(strstr(st.text, "its slot is being moved to another server"));
    assert_int_equal(s->ops->progress(s, tasks, 1, &a, &progress, &st), NRPC_UNAVAILABLE);
    assert_int_equal(s->ops->in_phase(s, MODEL_GENERATING, 0, TASKS, &a, &found, &count, &st),
                     NRPC_UNAVAILABLE);
    arena_fini(&a);
}

static void assert_is_whole(void)
{
    uint64_t *found;
    struct arena a;
    size_t count;
    arena_init(&a, 0);
    must(s->ops->in_phase(s, MODEL_GENERATING, 0, 2 * TASKS, &a, &found, &count, &st));
    assert_int_equal(count, TASKS);
    for (uint64_t id = 1; id <= TASKS; id++)
        must(s->ops->pause(s, id, id % 2, &st));
    arena_fini(&a);
}

static void test_nothing_runs_while_a_slot_is_moved(void **state)
{
    char ids[SERVERS][SERVER_CLUSTER_ID];
    (void)state;
    long slot = number(servers[0], "CLUSTER KEYSLOT dtf:{0}");
    int from = find_owner(), to = (from + 1) % SERVERS;
    for (int i = 0; i < SERVERS; i++)
        server_cluster_id(servers[i], ids[i]);
    assert_is_whole();
    order(servers[to], "CLUSTER SETSLOT %ld IMPORTING %s", slot, ids[from]);
    assert_is_whole();
    order(servers[from], "CLUSTER SETSLOT %ld MIGRATING %s", slot, ids[to]);
    do
        assert_stands_still();
    while (move_keys(servers[from], servers[to], slot));
    assert_stands_still();
    order(servers[to], "CLUSTER SETSLOT %ld NODE %s", slot, ids[to]);
    order(servers[from], "CLUSTER SETSLOT %ld NODE %s", slot, ids[to]);
    assert_is_whole();
    assert_int_equal(number(servers[to], "EXISTS dtf:{0}:damaged"), 0);
    assert_int_equal(number(servers[to], "EXISTS dtf:{0}:meta"), 1);
    assert_int_equal(number(servers[from], "DBSIZE"), 0);
}

// ---- what is refused

static void assert_refused(const char *address, unsigned shards, int code, const char *why)
{
    struct state *none;
    int answer = state_redis_open(
        &(struct state_redis_options){.urls = &address, .url_count = 1, .shards = shards}, &none, &st);
    assert_int_equal(answer, code);
    if (!strstr(st.text, why))
        fail_msg("\"%s\" does not say \"%s\"", st.text, why);
}

static void test_refused(void **state)
{
    char address[100], at[32];
    (void)state;
    struct server *plain = server_redis(NULL);
    assert_refused(url, 2, NRPC_FAILED_PRECONDITION, "this Redis holds shard 0/1, and is named as shard 0/2");
    assert_refused(url, 65, NRPC_INVALID_ARGUMENT, "65 shards; with 1 Redis servers there can be 1 to 64");
    snprintf(address, sizeof address, "%s/3", url);
    assert_refused(address, 1, NRPC_INVALID_ARGUMENT, "a Redis Cluster has database 0 only");
    assert_refused("redis+cluster://", 1, NRPC_INVALID_ARGUMENT, "no host");
    snprintf(address, sizeof address, "redis+cluster://%s", server_cluster_at(plain, at));
    assert_refused(address, 1, NRPC_FAILED_PRECONDITION,
                   "is no server of a Redis Cluster: name it as redis://");
    assert_refused(server_url(servers[(find_owner() + 1) % SERVERS]), 0, NRPC_FAILED_PRECONDITION,
                   "name it as redis+cluster://");
    const char *two[] = {url, server_url(plain)};
    struct state *none;
    assert_int_equal(state_redis_open(&(struct state_redis_options){.urls = two, .url_count = 2}, &none, &st),
                     NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "a Redis Cluster is one url"));
    server_destroy(plain);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_nothing_runs_while_a_slot_is_moved),
                                              TEST(test_refused)};
    server_cluster(servers, SERVERS, 0, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
