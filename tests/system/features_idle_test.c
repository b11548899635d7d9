// SPDX-License-Identifier: Apache-2.0
// features_idle_test.c: nodes without work are silent for long; when they are given some, or hang up, their
// loss is noticed as soon as that of others.
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { LEASE_MS = 1000, IDLE_MS = 6 * LEASE_MS, NOTICED_MS = LEASE_MS + 3000 }; // LEASE_MS: of cluster.c

static struct cluster c;
static struct nrpc_status st;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    cluster_start_node(&c, 0, "1", "1000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (c.nodes[0].pid)
        kill(c.nodes[0].pid, SIGCONT);
    cluster_stop(&c);
    return 0;
}

static size_t node_count(void)
{
    struct dtf_node_info nodes[8];
    size_t n = 8;
    assert_int_equal(dtf_nodes(c.client, nodes, &n, &st), NRPC_OK);
    return n;
}

static struct dtf_task_info run_one(void)
{
    return cluster_wait(&c, cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL));
}

// It has had work, and has none: its call waits for long.
static void make_idle(void)
{
    int64_t start_ms = cluster_now_ms();
    assert_int_equal(run_one().status, DTF_TASK_COMPLETED);
    WAIT_FOR(cluster_now_ms() - start_ms > LEASE_MS, PATIENCE_MS);
}

static void test_killed(void **state)
{
    (void)state;
    make_idle();
    daemon_kill(&c.nodes[0], SIGKILL);
    int64_t start_ms = cluster_now_ms();
    WAIT_FOR(node_count() == 0, PATIENCE_MS);
    assert_true(cluster_now_ms() - start_ms < NOTICED_MS);
}

static void test_stays(void **state)
{
    (void)state;
    make_idle();
    int64_t start_ms = cluster_now_ms();
    while (cluster_now_ms() - start_ms < IDLE_MS + LEASE_MS) {
        assert_int_equal(node_count(), 1);
        cluster_pause();
    }
    start_ms = cluster_now_ms();
    assert_int_equal(run_one().redispatched, 0);
    assert_true(cluster_now_ms() - start_ms < LEASE_MS);
}

// It stands still, and nobody knows: what it is given runs elsewhere soon.
static void test_stopped(void **state)
{
    (void)state;
    make_idle();
    kill(c.nodes[0].pid, SIGSTOP);
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL);
    WAIT_FOR(cluster_status(&c, task).running == 1, PATIENCE_MS);
    int64_t start_ms = cluster_now_ms();
    cluster_start_node(&c, 1, "1", "1000");
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.redispatched, 1);
    assert_true(cluster_now_ms() - start_ms < NOTICED_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(killed), TEST(stays), TEST(stopped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
