// SPDX-License-Identifier: Apache-2.0
// features_pair_test.c: two coordinators on one Redis and MariaDB, started and killed together: neither
// refuses the other, and nodes that have nothing to do stay what they are.
#include "servers/servers.h"
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODES = 2, STAY_MS = 14000, MOVES = 6, SOON_MS = 20000 };

static struct server *redis[2], *mariadb;
static const char *stores[] = {"--redis", NULL, "--mysql", NULL, NULL};
static struct cluster first, second;

static int setup(void **state)
{
    (void)state;
    mariadb = server_mariadb(NULL);
    for (int i = 0; i < 2; i++)
        redis[i] = server_redis(&(struct server_redis_options){.aof = true});
    stores[1] = server_url(redis[0]);
    stores[3] = server_url(mariadb);
    cluster_start_with(&first, stores);
    second = (struct cluster){.options = stores, .listen = "tcp://127.0.0.1:0"};
    strcpy(second.ledger, first.ledger);
    strcpy(second.gate, first.gate);
    cluster_start_coordinator(&second);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        daemon_kill(&second.nodes[i], SIGKILL);
    if (second.coordinator.pid)
        daemon_kill(&second.coordinator, SIGKILL);
    *first.listen = 0; // hints are lost with a coordinator that is killed
    cluster_stop(&first);
    for (int i = 0; i < 2; i++)
        server_destroy(redis[i]);
    server_destroy(mariadb);
    return 0;
}

struct seen {
    size_t count;
    uint64_t sum; // of the numbers
};

static struct seen nodes(void)
{
    struct seen s = {0};
    struct nrpc_status st;
    struct dtf_node_info all[10];
    size_t count = sizeof all / sizeof *all;
    if (dtf_nodes(first.client, all, &count, &st))
        return s;
    for (; s.count < count; s.count++)
        s.sum += all[s.count].id;
    return s;
}

// The same ones, at each look.
static void expect_to_stay(struct seen were)
{
    for (int64_t until_ms = cluster_now_ms() + STAY_MS; cluster_now_ms() < until_ms; cluster_pause()) {
        struct seen now = nodes();
        assert_int_equal(now.count, were.count);
        assert_int_equal(now.sum, were.sum);
    }
}

static void kill_both(void)
{
    kill(first.coordinator.pid, SIGKILL);
    daemon_kill(&second.coordinator, SIGKILL);
    daemon_kill(&first.coordinator, SIGKILL);
}

static void nodes_without_work_stay(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        cluster_start_node(&second, i, "2", "1000");
    WAIT_FOR(nodes().count == NODES, SOON_MS);
    expect_to_stay(nodes());
    kill_both();
    cluster_start_coordinator(&first);
    cluster_start_coordinator(&second);
    WAIT_FOR(nodes().count == NODES, SOON_MS);
    expect_to_stay(nodes());
}

static pid_t start_quietly(const struct cluster *c, const char *socket)
{
    char program[4300], listen[700];
    snprintf(listen, sizeof listen, "ipc://%s", socket);
    daemon_path(program, sizeof program, "dtfd");
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, "dtfd", "--role", "coordinator", "--listen", listen, "--log", "error", "--redis",
              c->options[1], "--mysql", c->options[3], (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

// With the other Redis, at the same moment: both take it, whoever is first.
static void both_take_another_redis(void **state)
{
    (void)state;
    kill_both();
    for (int move = 1; move <= MOVES; move++) {
        pid_t pids[2];
        char sockets[2][300]; // each is there when its coordinator has started
        stores[1] = server_url(redis[move % 2]);
        for (int i = 0; i < 2; i++) {
            snprintf(sockets[i], sizeof sockets[i], "%s/%d-%d", first.folder, move, i);
            pids[i] = start_quietly(&first, sockets[i]);
        }
        WAIT_FOR(access(sockets[0], F_OK) == 0 && access(sockets[1], F_OK) == 0, SOON_MS);
        for (int i = 0; i < 2; i++) {
            int status = 0;
            assert_int_equal(waitpid(pids[i], &status, WNOHANG), 0); // it runs
            kill(pids[i], SIGKILL);
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_without_work_stay),
        cmocka_unit_test(both_take_another_redis),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
