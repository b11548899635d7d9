// SPDX-License-Identifier: Apache-2.0
// features_damage_test.c: what lies in Redis is damaged while tasks run: two coordinators, two nodes. No
// process dies, other tasks end as if nothing had been, damaged ones go on from their records and end with
// exact counts, or fail with the reason.
#include "servers/servers.h"
#include "system/cluster.h"
#include "system/ledger.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { COUNT = 400, ALL = COUNT + COUNT / 10 };

static struct server *redis, *mariadb;
static struct cluster c;
static struct daemon second; // coordinator

static void start_coordinator(struct daemon *d)
{
    const char *args[] = {"--role",
                          "coordinator",
                          "--listen",
                          "tcp://127.0.0.1:0",
                          "--redis",
                          server_url(redis),
                          "--mysql",
                          server_url(mariadb),
                          "--plugin",
                          c.ledger,
                          "--log",
                          "error",
                          "--node-lease",
                          "2000",
                          NULL};
    assert_true(daemon_start(d, "dtfd", args));
}

static int setup(void **state)
{
    (void)state;
    struct nrpc_status st;
    const struct server_redis_options o = {.aof = true};
    redis = server_redis(&o);
    mariadb = server_mariadb(NULL);
    memset(&c, 0, sizeof c);
    daemon_path(c.ledger, sizeof c.ledger, "ledger.so");
    daemon_folder(c.folder, sizeof c.folder);
    start_coordinator(&c.coordinator);
    start_coordinator(&second);
    strcpy(c.listen, c.coordinator.url);
    assert_int_equal(dtf_client_open(c.listen, &c.client, &st), NRPC_OK);
    for (int i = 0; i < 2; i++) {
        char join[500];
        snprintf(join, sizeof join, "%s,%s", i ? second.url : c.listen, i ? c.listen : second.url);
        const char *args[] = {"--role",   "executor", "--join", join,    "--slots", "32",
                              "--plugin", c.ledger,   "--log",  "error", NULL};
        assert_true(daemon_start(&c.nodes[i], "dtfd", args));
    }
    return 0;
}

static bool is_alive(const struct daemon *d)
{
    return waitpid(d->pid, NULL, WNOHANG) == 0;
}

static int teardown(void **state)
{
    (void)state;
    daemon_kill(&second, SIGKILL);
    cluster_stop(&c);
    server_destroy(redis);
    server_destroy(mariadb);
    return 0;
}

// ---- words

static uint64_t create(uint32_t run_us)
{
    struct ledger_param l = {COUNT, run_us};
    struct dtf_task_param p = {
        .type = "ledger", .type_param = &l, .type_param_bytes = sizeof l, .tolerated_failures = -1};
    return cluster_create(&c, &p);
}

static void ask(const char *format, ...)
{
    char command[500], answer[500];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    server_ask(redis, command, answer, sizeof answer);
    if (*answer == '-' || !*answer)
        fail_msg("%s: %s", command, answer);
}

static bool runs(uint64_t task)
{
    struct dtf_task_info info = cluster_status(&c, task);
    return info.succeeded > 0 && info.running > 0;
}

static void assert_completed(uint64_t task)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    if (info.status != DTF_TASK_COMPLETED || info.succeeded != ALL || info.generated != ALL)
        fail_msg("task %llu: status %d, %llu of %llu succeeded: %s", (unsigned long long)task,
                 (int)info.status, (unsigned long long)info.succeeded, (unsigned long long)info.generated,
                 info.message);
}

static void assert_all_alive(void)
{
    assert_true(is_alive(&c.coordinator) && is_alive(&second));
    assert_true(is_alive(&c.nodes[0]) && is_alive(&c.nodes[1]));
}

// ---- tests

static const char *const ways[] = {"HDEL %s %s", "HSET %s %s text", "HSET %s %s 99999999999999999999",
                                   "HSET %s %s 7"};
enum { WAYS = sizeof ways / sizeof *ways };
static const char *const values[WAYS] = {"", ", 'text'", ", '99999999999999999999'",
                                         ", '7'"}; // the same, in Lua

// Every field of every task's hash, one task a damage, all at the same time; and two tasks that nothing
// happens to.
static void test_fields(void **state)
{
    (void)state;
    static const char *const fields[] = {"type", "group", "param", "fixed", "moving", "born", "owner"};
    enum { HURT = sizeof fields / sizeof *fields * WAYS };
    uint64_t hurt[HURT], well[2] = {create(20000), create(20000)};
    for (int i = 0; i < HURT; i++)
        hurt[i] = create(20000);
    for (int i = 0; i < HURT; i++)
        WAIT_FOR(runs(hurt[i]), PATIENCE_MS);
    for (int i = 0; i < HURT; i++) {
        char key[60];
        snprintf(key, sizeof key, "dtf:{0}:t:%llu", (unsigned long long)hurt[i]);
        ask(ways[i % WAYS], key, fields[i / WAYS]);
    }
    for (int i = 0; i < 2; i++)
        assert_completed(well[i]);
    for (int i = 0; i < HURT; i++)
        assert_completed(hurt[i]);
    assert_all_alive();
}

// Tiles, of which something runs or which wait, what they are to execute, segments, checkpoints; and whole
// keys.
static void test_tiles(void **state)
{
    (void)state;
    static const char kinds[] = "spgc";
    enum { TILES = (sizeof kinds - 1) * 2 * WAYS, HURT = TILES + 8 };
    static const char keys[] = "tspgtspg";
    uint64_t hurt[HURT], well = create(20000);
    for (int i = 0; i < HURT; i++)
        hurt[i] = create(20000);
    for (int i = 0; i < HURT; i++)
        WAIT_FOR(runs(hurt[i]), PATIENCE_MS);
    for (int i = 0; i < TILES; i++) {
        ask("EVAL \"local all = redis.call('HKEYS', KEYS[1]); table.sort(all); if all[1] then "
            "redis.call('%s', "
            "KEYS[1], all[%s]%s) end\" 1 dtf:{0}:%c:%llu",
            i % WAYS ? "HSET" : "HDEL", i / WAYS % 2 ? "#all" : "1", values[i % WAYS], kinds[i / WAYS / 2],
            (unsigned long long)hurt[i]);
    }
    for (int i = TILES; i < HURT; i++)
        ask(i < TILES + 4 ? "DEL dtf:{0}:%c:%llu" : "SET dtf:{0}:%c:%llu text", keys[i - TILES],
            (unsigned long long)hurt[i]);
    assert_completed(well);
    for (int i = 0; i < HURT; i++)
        assert_completed(hurt[i]);
    assert_all_alive();
}

// Every field of both nodes' hashes, time after time, under one task.
static void test_nodes(void **state)
{
    (void)state;
    static const char *const fields[] = {"name",  "host",    "types",   "pid",
                                         "slots", "running", "settled", "session"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields * WAYS; i++) {
        uint64_t task = create(5000);
        WAIT_FOR(runs(task), PATIENCE_MS);
        ask("EVAL \"for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('%s', "
            "'dtf:{0}:n:' .. id, "
            "'%s'%s) end\" 1 dtf:{0}:nodes",
            i % WAYS ? "HSET" : "HDEL", fields[i / WAYS], values[i % WAYS]);
        assert_completed(task);
    }
    assert_all_alive();
}

// A task that is damaged time and again fails, and says why.
static void test_again_and_again(void **state)
{
    (void)state;
    uint64_t task = create(100000);
    for (struct dtf_task_info info;;) {
        info = cluster_status(&c, task);
        if (info.status != DTF_TASK_RUNNING)
            break;
        if (info.running)
            ask("HDEL dtf:{0}:t:%llu moving", (unsigned long long)task);
        cluster_pause();
    }
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_FAILED);
    assert_non_null(strstr(info.message, "was damaged 6 times: dtf:{0}:t:"));
    assert_non_null(strstr(info.message, "has no field \"moving\""));
    assert_completed(create(0));
    assert_all_alive();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_again_and_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
