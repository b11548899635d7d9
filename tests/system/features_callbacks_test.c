// SPDX-License-Identifier: Apache-2.0
// features_callbacks_test.c: callbacks in the coordinator that take long, do not return, or decline
// everything: they delay their own task, and nobody else; what is stuck is said, ends with its task's time,
// and does not keep the process from stopping.
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { STOP_MS = 40000 };

static struct cluster c;
static struct nrpc_status st;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    cluster_start_node(&c, 0, "4", "1000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    file_remove(&c, "stuck");
    cluster_stop(&c);
    return 0;
}

static uint64_t create(const char *type, const struct gate_param *p)
{
    return cluster_create_gate(&c, type, p, NULL);
}

static void check_completed(uint64_t task, uint64_t count)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, count);
    assert_int_equal(info.failed + info.timed_out, 0);
}

// Tasks of others are done while this one waits for its callbacks.
static void others_are_done(void)
{
    for (int i = 0; i < 5; i++) {
        int64_t start_ms = cluster_now_ms();
        check_completed(create("gate", &(struct gate_param){.count = 3, .quiet = 1}), 3);
        assert_true(cluster_now_ms() - start_ms < 2000);
    }
}

static void test_slow_reviews(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    uint64_t task = create("reviewed_gate", &(struct gate_param){.count = COUNT, .review_ms = 200});
    WAIT_FOR(file_lines(&c, "log", "review") > 0, PATIENCE_MS);
    others_are_done();
    assert_true(file_lines(&c, "log", "review") < COUNT);
    check_completed(task, COUNT);
    assert_true(file_lines(&c, "log", "review") >= COUNT);
    assert_int_equal(file_lines(&c, "log", "start"), COUNT); // nothing ran twice while it waited
}

// Each result is counted soon after its callback, not after those of all that came with it.
static void test_counted_one_by_one(void **state)
{
    (void)state;
    uint64_t task = create("reviewed_gate", &(struct gate_param){.count = 40, .review_ms = 100});
    WAIT_FOR(cluster_status(&c, task).succeeded >= 5, PATIENCE_MS);
    assert_true(cluster_status(&c, task).succeeded < 35);
    check_completed(task, 40);
}

static void test_stuck(void **state)
{
    (void)state;
    file_touch(&c, "stuck");
    uint64_t task = create("reviewed_gate", &(struct gate_param){.count = 10});
    WAIT_FOR(file_lines(&c, "log", "review") > 0, PATIENCE_MS);
    others_are_done();
    assert_int_equal(cluster_health(&c, "dtf.callbacks"), HEALTH_SERVING);
    WAIT_FOR(strstr(cluster_status(&c, task).message, "its after_execution has not returned for"),
             PATIENCE_MS);
    WAIT_FOR(cluster_health(&c, "dtf.callbacks") == HEALTH_NOT_SERVING, PATIENCE_MS);
    assert_int_equal(cluster_health(&c, ""), HEALTH_SERVING);
    others_are_done();
    file_remove(&c, "stuck");
    check_completed(task, 10);
    assert_int_equal(file_lines(&c, "log", "start"), 10); // no lease has run out meanwhile
    WAIT_FOR(cluster_health(&c, "dtf.callbacks") == HEALTH_SERVING, PATIENCE_MS);
}

static void test_stuck_task_ends(void **state)
{
    (void)state;
    struct dtf_task_param more = {.timeout_ms = 4000};
    struct gate_param p = {.count = 10};
    file_touch(&c, "stuck");
    uint64_t timed = cluster_create_gate(&c, "reviewed_gate", &p, &more);
    uint64_t cancelled = create("reviewed_gate", &p);
    WAIT_FOR(file_lines(&c, "log", "review") >= 2, PATIENCE_MS);
    assert_int_equal(dtf_task_cancel(c.client, cancelled, "enough", &st), NRPC_OK);
    assert_int_equal(cluster_wait(&c, cancelled).status, DTF_TASK_CANCELLED);
    assert_int_equal(cluster_wait(&c, timed).status, DTF_TASK_TIMED_OUT);
    others_are_done();
}

static void test_stuck_stop(void **state)
{
    (void)state;
    file_touch(&c, "stuck");
    create("reviewed_gate", &(struct gate_param){.count = 4});
    WAIT_FOR(file_lines(&c, "log", "review") > 0, PATIENCE_MS);
    int64_t start_ms = cluster_now_ms();
    daemon_kill(&c.coordinator, SIGTERM);
    assert_true(cluster_now_ms() - start_ms < STOP_MS);
    file_remove(&c, "stuck");
    cluster_start_coordinator(&c);
    WAIT_FOR(file_lines(&c, "log", "review") >= 5, PATIENCE_MS); // once more: nothing is lost
}

// before_dispatch says no: it is asked again, but not all the time; and when something has changed, at once.
static void test_declines(void **state)
{
    (void)state;
    enum { COUNT = 3000, ASKS = 256, ROUNDS_MAX = 12 };
    file_touch(&c, "closed");
    uint64_t task = create("vetted_gate", &(struct gate_param){.count = COUNT});
    WAIT_FOR(file_lines(&c, "log", "ask") >= ASKS, PATIENCE_MS);
    int64_t start_ms = cluster_now_ms();
    others_are_done();
    WAIT_FOR(cluster_now_ms() - start_ms > 3000, PATIENCE_MS);
    assert_true(file_lines(&c, "log", "ask") <= (ASKS + 64) * ROUNDS_MAX);
    file_remove(&c, "closed");
    check_completed(task, COUNT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(slow_reviews),    TEST(counted_one_by_one), TEST(stuck),
        TEST(stuck_task_ends), TEST(stuck_stop),         TEST(declines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
