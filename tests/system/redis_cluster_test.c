// SPDX-License-Identifier: Apache-2.0
// redis_cluster_test.c: the state in a Redis Cluster of three masters and three replicas: slots are moved by
// Redis' own tool under load, a master is killed, a server is added, all are killed; nothing is lost.
#include "servers/servers.h"
#include "system/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MASTERS = 3, SERVERS = 2 * MASTERS, TASKS = 12, SUBTASKS = 400, RUN_MS = 40, SHARDS = 16 };

static struct server *servers[SERVERS + 1], *mariadb;
static char url[200];
static const char *stores[] = {"--redis", url, "--mysql", NULL, NULL};
static struct cluster c;
static uint64_t tasks[TASKS];

static int setup(void **state)
{
    char at[32], other[32];
    (void)state;
    server_cluster(servers, MASTERS, 1, true);
    mariadb = server_mariadb(NULL);
    snprintf(url, sizeof url, "redis+cluster://%s,%s", server_cluster_at(servers[0], at),
             server_cluster_at(servers[SERVERS - 1], other));
    stores[3] = server_url(mariadb);
    cluster_start_with(&c, stores);
    for (int i = 0; i < 2; i++)
        cluster_start_node(&c, i, "8", "1000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    for (int i = 0; i <= SERVERS; i++) {
        server_destroy(servers[i]);
        servers[i] = NULL;
    }
    server_destroy(mariadb);
    return 0;
}

// ---- load

static void begin_tasks(void)
{
    struct gate_param g = {.count = SUBTASKS, .run_ms = RUN_MS, .quiet = 1};
    for (int i = 0; i < TASKS; i++)
        tasks[i] = cluster_create_gate(&c, "gate", &g, NULL);
}

static uint64_t count_succeeded(void)
{
    uint64_t n = 0;
    for (int i = 0; i < TASKS; i++)
        n += cluster_status(&c, tasks[i]).succeeded;
    return n;
}

static void wait_for_work(void)
{
    uint64_t before = count_succeeded();
    WAIT_FOR(count_succeeded() > before + TASKS, PATIENCE_MS);
}

static void end_tasks(void)
{
    for (int i = 0; i < TASKS; i++) {
        struct dtf_task_info info = cluster_wait(&c, tasks[i]);
        assert_int_equal(info.status, DTF_TASK_COMPLETED);
        assert_int_equal(info.succeeded, SUBTASKS);
        assert_int_equal(info.failed + info.timed_out, 0);
    }
}

// How many of the shards this server has.
static size_t shards_of(const struct server *s)
{
    char command[40], answer[200];
    size_t n = 0;
    for (int i = 0; i < SHARDS; i++) {
        snprintf(command, sizeof command, "EXISTS dtf:{%d}:meta", i);
        server_ask(s, command, answer, sizeof answer);
        n += !strcmp(answer, ":1\r\n");
    }
    return n;
}

// ---- tests

static void move_all(const struct server *from, const struct server *to, const char *slots)
{
    char source[SERVER_CLUSTER_ID], target[SERVER_CLUSTER_ID], at[32];
    server_cluster_id(from, source);
    server_cluster_id(to, target);
    server_cluster_tool(servers[0], (const char *[]){"reshard", server_cluster_at(servers[0], at),
                                                     "--cluster-from", source, "--cluster-to", target,
                                                     "--cluster-slots", slots, "--cluster-yes", NULL});
}

static void test_slots_move_under_load(void **state)
{
    (void)state;
    begin_tasks();
    wait_for_work();
    int64_t begin_ms = cluster_now_ms();
    size_t first = shards_of(servers[0]), second = shards_of(servers[1]);
    assert_true(first && second && first + second < SHARDS);
    move_all(servers[0], servers[1], "5461"); // all that the first has
    print_message("5461 slots, %zu of them shards, were moved in %d ms; %d of %d subtasks were done\n", first,
                  (int)(cluster_now_ms() - begin_ms), (int)count_succeeded(), TASKS * SUBTASKS);
    assert_int_equal(shards_of(servers[0]), 0);
    assert_int_equal(shards_of(servers[1]), first + second);
    end_tasks();
    begin_tasks();
    wait_for_work();
    move_all(servers[1], servers[2],
             "5461"); // half of what it has now; the first follows another as a replica
    end_tasks();
}

static void test_master_is_killed(void **state)
{
    (void)state;
    begin_tasks();
    wait_for_work();
    server_kill(servers[0]);
    end_tasks();
    begin_tasks(); // on the promoted replica, too
    server_start(servers[0]);
    end_tasks();
    server_cluster_wait(servers, SERVERS);
}

static void test_server_is_added(void **state)
{
    char at[32];
    (void)state;
    begin_tasks();
    wait_for_work();
    servers[SERVERS] = server_cluster_add(servers[0]);
    server_cluster_wait(servers, SERVERS + 1);
    server_cluster_tool(servers[0], (const char *[]){"rebalance", server_cluster_at(servers[0], at),
                                                     "--cluster-use-empty-masters", NULL});
    assert_true(shards_of(servers[SERVERS]) > 0);
    end_tasks();
    begin_tasks();
    end_tasks();
}

static void test_all_are_killed(void **state)
{
    (void)state;
    begin_tasks();
    wait_for_work();
    for (int i = 0; i < SERVERS; i++)
        server_kill(servers[i]);
    for (int i = 0; i < SERVERS; i++)
        server_start(servers[i]);
    end_tasks();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {TEST(test_slots_move_under_load), TEST(test_master_is_killed),
                                              TEST(test_server_is_added), TEST(test_all_are_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
