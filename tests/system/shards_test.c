// SPDX-License-Identifier: Apache-2.0
// shards_test.c: a coordinator over two Redis servers.
#include "base/clock.h"
#include "base/mem.h"
#include "dtf/v1/command.pb-c.h"
#include "servers/servers.h"
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SHARDS = 2, TASKS = 2 * SHARDS, SUBTASKS = 40, FILLER_BYTES = 100000 };

static struct server *redis[SHARDS], *mariadb;
static const char *stores[2 * SHARDS + 3]; // options of dtfd
static struct cluster c;
static struct nrpc_status st;

static int setup(void **state)
{
    (void)state;
    const struct server_redis_options o = {.aof = true};
    for (int i = 0; i < SHARDS; i++)
        redis[i] = server_redis(&o);
    mariadb = server_mariadb(NULL);
    for (int i = 0; i < SHARDS; i++) {
        stores[2 * i] = "--redis";
        stores[2 * i + 1] = server_url(redis[i]);
    }
    stores[2 * SHARDS] = "--mysql";
    stores[2 * SHARDS + 1] = server_url(mariadb);
    cluster_start_with(&c, stores);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    for (int i = 0; i < SHARDS; i++)
        server_destroy(redis[i]);
    server_destroy(mariadb);
    return 0;
}

// ---- more parameters than one message carries

// `true`, with 250,000 bytes to it.
static void pack_large(uint8_t **packed, size_t *size)
{
    static char filler[2][FILLER_BYTES], input[FILLER_BYTES / 2];
    ProtobufCBinaryData env[2], argv = {4, (uint8_t *)"true"};
    Dtf__V1__Command m = DTF__V1__COMMAND__INIT;
    for (int i = 0; i < 2; i++) {
        memset(filler[i], 'x', sizeof filler[i]);
        memcpy(filler[i], i ? "A=" : "B=", 2);
        env[i] = (ProtobufCBinaryData){sizeof filler[i], (uint8_t *)filler[i]};
    }
    m.argv = &argv;
    m.n_argv = 1;
    m.env = env;
    m.n_env = 2;
    m.input = (ProtobufCBinaryData){sizeof input, (uint8_t *)input};
    *size = dtf__v1__command__get_packed_size(&m);
    *packed = mem_alloc(*size);
    dtf__v1__command__pack(&m, *packed);
}

static void test_large_params(void **state)
{
    (void)state;
    struct dtf_subtask_spec specs[SUBTASKS] = {0};
    struct dtf_task_param p = {.type = "command", .fed = true};
    uint8_t *packed;
    size_t size;
    uint64_t tasks[TASKS];
    pack_large(&packed, &size);
    for (size_t i = 0; i < SUBTASKS; i++)
        specs[i] = (struct dtf_subtask_spec){.param = packed, .param_bytes = size};
    for (int i = 0; i < TASKS; i++) { // ids follow each other: as many in each shard
        tasks[i] = cluster_create(&c, &p);
        assert_int_equal(dtf_task_feed(c.client, tasks[i], 0, specs, SUBTASKS, true, &st), NRPC_OK);
    }
    free(packed);
    cluster_start_node(&c, 0, "64", "1000");
    for (int i = 0; i < TASKS; i++) {
        WAIT_FOR(cluster_status(&c, tasks[i]).succeeded == SUBTASKS, 20000);
        struct dtf_task_info info = cluster_wait(&c, tasks[i]);
        assert_int_equal(info.status, DTF_TASK_COMPLETED);
        assert_int_equal(info.redispatched + info.retried, 0);
    }
}

// ---- one server is away

static uint64_t create_commands(const char *script, size_t count)
{
    return cluster_create_commands(&c, NULL, script, count, 0);
}

// Which server has a task: ids are spread by their remainder.
static int shard_of(uint64_t task)
{
    return (int)(task % SHARDS);
}

// A task that has its state in this server.
static uint64_t create_at(int shard, const char *script, size_t count)
{
    for (;;) {
        uint64_t next = create_commands("true", 1) + 1;
        if (shard_of(next) == shard)
            return create_commands(script, count);
    }
}

static bool is_completed(uint64_t task, uint64_t count)
{
    struct dtf_task_info info;
    return dtf_task_status(c.client, task, &info, &st) == NRPC_OK && info.status == DTF_TASK_COMPLETED &&
           info.succeeded == count;
}

static size_t list(struct dtf_task_info *infos, size_t max)
{
    size_t count = max;
    assert_int_equal(dtf_task_list(c.client, 0, 0, infos, &count, &st), NRPC_OK);
    return count;
}

// A type with a generator: fed tasks end with their client. Of these the manager, the generator, the
// scheduler, the collector and the executor must each have done their part for a task to end.
static uint64_t create_generated(int shard, uint32_t count)
{
    struct gate_param g = {.count = count, .run_ms = 1, .quiet = 1};
    for (;;) {
        uint64_t task = cluster_create_gate(&c, "gate", &g, NULL);
        if (shard_of(task) == shard)
            return task;
        WAIT_FOR(is_completed(task, count), PATIENCE_MS);
    }
}

// While a server is away: the tasks of the other one are dispatched, settled, created, generated and ended;
// what is unknown is said.
static void check_while_away(int away, uint64_t held)
{
    struct dtf_task_info infos[50];
    int64_t start_ms = cluster_now_ms();
    uint64_t tasks[6], waits = 0;
    size_t healthy = 0, unknown = 0;
    struct gate_param g = {.count = 50, .run_ms = 1, .quiet = 1};
    WAIT_FOR(cluster_status(&c, held).state_unknown, PATIENCE_MS);
    for (int i = 0; i < 6; i++) {
        uint64_t task = cluster_create_gate(&c, "gate", &g, NULL);
        if (shard_of(task) == away)
            waits = task;
        else
            tasks[healthy++] = task;
    }
    assert_true(healthy > 0 && waits);
    for (size_t i = 0; i < healthy; i++)
        WAIT_FOR(is_completed(tasks[i], 50), 10000);
    print_message("%zu tasks of 50 ended %lld ms after the other server was found to be away\n", healthy,
                  (long long)(cluster_now_ms() - start_ms));
    size_t count = list(infos, 50);
    for (size_t i = 0; i < count; i++) {
        bool under_way = infos[i].status == DTF_TASK_RUNNING;
        assert_int_equal(infos[i].state_unknown, under_way && shard_of(infos[i].id) == away);
        if (infos[i].state_unknown)
            assert_non_null(strstr(infos[i].message, server_url(redis[away])));
        unknown += infos[i].state_unknown;
    }
    assert_true(unknown >= 2);
    assert_true(cluster_status(&c, waits).state_unknown);
}

// A subtask that runs over the outage is counted when the server is back, and not run again.
static void check_outage(void (*away)(struct server *), void (*back)(struct server *), int shard)
{
    char script[700], path[300];
    file_path(&c, "runs", path, sizeof path);
    file_remove(&c, "runs");
    file_remove(&c, "go");
    cluster_start_node(&c, 0, "4", "1000");
    uint64_t warm = create_generated(0, 5);
    WAIT_FOR(is_completed(warm, 5), PATIENCE_MS);
    snprintf(script, sizeof script, "echo run >>%s; while ! test -e %s/go; do sleep 0.05; done", path,
             c.folder);
    uint64_t held = create_at(shard, script, 2);
    WAIT_FOR(file_lines(&c, "runs", "run") == 2, PATIENCE_MS);
    away(redis[shard]);
    check_while_away(shard, held);
    file_touch(&c, "go");
    check_while_away(shard, held); // its results wait at the node, and hold nobody up
    back(redis[shard]);
    WAIT_FOR(is_completed(held, 2), PATIENCE_MS);
    assert_int_equal(file_lines(&c, "runs", "run"), 2);
    struct dtf_task_info infos[50];
    WAIT_FOR(({
                 size_t count = list(infos, 50), left = 0;
                 for (size_t i = 0; i < count; i++)
                     left += infos[i].status != DTF_TASK_COMPLETED || infos[i].state_unknown;
                 left == 0;
             }),
             PATIENCE_MS);
}

static void test_paused_first(void **state)
{
    (void)state;
    check_outage(server_pause, server_resume, 0);
}

static void test_paused_second(void **state)
{
    (void)state;
    check_outage(server_pause, server_resume, 1);
}

static void test_killed_first(void **state)
{
    (void)state;
    check_outage(server_terminate, server_start, 0);
}

static void test_killed_second(void **state)
{
    (void)state;
    check_outage(server_terminate, server_start, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_large_params, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paused_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paused_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_second, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
