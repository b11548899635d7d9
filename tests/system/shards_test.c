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
static struct cluster c;
static struct nrpc_status st;

static int setup(void **state)
{
    (void)state;
    const struct server_redis_options o = {.aof = true};
    for (int i = 0; i < SHARDS; i++)
        redis[i] = server_redis(&o);
    mariadb = server_mariadb(NULL);
    memset(&c, 0, sizeof c);
    daemon_folder(c.folder, sizeof c.folder);
    const char *args[] = {"--role",
                          "coordinator",
                          "--listen",
                          "tcp://127.0.0.1:0",
                          "--redis",
                          server_url(redis[0]),
                          "--redis",
                          server_url(redis[1]),
                          "--mysql",
                          server_url(mariadb),
                          "--log",
                          "error",
                          "--node-lease",
                          "1000",
                          NULL};
    assert_true(daemon_start(&c.coordinator, "dtfd", args));
    strcpy(c.listen, c.coordinator.url);
    assert_int_equal(dtf_client_open(c.listen, &c.client, &st), NRPC_OK);
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

static void start_node(int i, const char *slots)
{
    const char *args[] = {"--role", "executor", "--join", c.listen, "--slots", slots, "--log", "error", NULL};
    assert_true(daemon_start(&c.nodes[i], "dtfd", args));
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
    start_node(0, "64");
    for (int i = 0; i < TASKS; i++) {
        WAIT_FOR(cluster_status(&c, tasks[i]).succeeded == SUBTASKS, 20000);
        struct dtf_task_info info = cluster_wait(&c, tasks[i]);
        assert_int_equal(info.status, DTF_TASK_COMPLETED);
        assert_int_equal(info.redispatched + info.retried, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_large_params, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
