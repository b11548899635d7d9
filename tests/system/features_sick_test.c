// SPDX-License-Identifier: Apache-2.0
// features_sick_test.c: a node that is short of something gives its subtasks back, takes no more than it can
// run, and comes back by itself; nothing fails because of it.
#include "system/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { COUNT = 60, FEW = 48 };

static struct cluster c;
static struct nrpc_status st;

static void limit_files(pid_t pid, rlim_t files)
{
    struct rlimit l;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &l), 0);
    l.rlim_cur = files < l.rlim_max ? files : l.rlim_max;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &l, NULL), 0);
}

// What the coordinator says of it.
static bool find_node(int i, struct dtf_node_info *out)
{
    struct dtf_node_info nodes[8];
    size_t n = 8;
    assert_int_equal(dtf_nodes(c.client, nodes, &n, &st), NRPC_OK);
    for (size_t k = 0; k < n; k++)
        if (nodes[k].pid == (uint32_t)c.nodes[i].pid) {
            *out = nodes[k];
            return true;
        }
    return false;
}

static int setup(void **state)
{
    (void)state;
    struct dtf_node_info info;
    cluster_start(&c);
    cluster_start_node(&c, 0, "16", "1000");
    WAIT_FOR(find_node(0, &info), PATIENCE_MS); // later it could not even connect
    limit_files(c.nodes[0].pid, FEW);           // room for some of its slots, or for none
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

static uint64_t settled_by(int i)
{
    struct dtf_node_info info = {0};
    assert_true(find_node(i, &info));
    return info.settled;
}

static void check_all_done(uint64_t task)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, COUNT);
    assert_int_equal(info.failed + info.timed_out + info.retried, 0);
}

// Beside a healthy node, which does what it cannot.
static void test_beside_a_healthy_one(void **state)
{
    (void)state;
    cluster_start_node(&c, 1, "2", "1000");
    check_all_done(cluster_create_commands(&c, NULL, "sleep 0.05", COUNT, 0));
    assert_true(settled_by(1) > COUNT / 10);
}

// Alone, for a while with nothing that it could run: then it is well again.
static void test_gets_well(void **state)
{
    (void)state;
    limit_files(c.nodes[0].pid, 3);
    uint64_t task = cluster_create_commands(&c, NULL, "sleep 0.01", COUNT, 0);
    WAIT_FOR(cluster_status(&c, task).redispatched > 0, PATIENCE_MS);
    assert_int_equal(cluster_status(&c, task).failed, 0);
    limit_files(c.nodes[0].pid, RLIM_INFINITY);
    check_all_done(task);
    assert_int_equal(settled_by(0), COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_beside_a_healthy_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gets_well, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
