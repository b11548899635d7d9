// SPDX-License-Identifier: Apache-2.0
// features_crash_test.c: callbacks that end the coordinator's process: their task fails after a few times,
// whatever the callback and the way; all others go on.
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { CRASHES = 3, COUNT = 20 }; // CRASHES: MODEL_BLAMES_MAX

static struct cluster c;

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
    cluster_stop(&c);
    return 0;
}

static void expect_end(int status, enum gate_crash how)
{
    if (how >= GATE_EXIT)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    else
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == (how == GATE_ABORT ? SIGABRT : SIGSEGV));
}

// Starts it again when a callback has ended it.
static bool keep_up(enum gate_crash how)
{
    int status;
    if (c.coordinator.pid && waitpid(c.coordinator.pid, &status, WNOHANG) == c.coordinator.pid) {
        c.coordinator.pid = 0;
        expect_end(status, how);
    }
    return c.coordinator.pid || cluster_try_coordinator(&c);
}

static void check_crash(const char *callback, enum gate_crash how)
{
    char text[100];
    struct nrpc_status st;
    struct gate_param p = {.count = COUNT, .crash = how, .quiet = 1};
    snprintf(p.crash_in, sizeof p.crash_in, "%s", callback);
    snprintf(text, sizeof text, "its %s ended the process %d times", callback, CRASHES);
    uint64_t before =
        cluster_create_gate(&c, "whole_gate", &(struct gate_param){.count = 2000, .quiet = 1}, NULL);
    size_t crashes = file_lines(&c, "log", "crash");
    uint64_t task = cluster_create_gate(&c, "whole_gate", &p, NULL);
    struct dtf_task_info info = {0};
    WAIT_FOR(keep_up(how) && dtf_task_status(c.client, task, &info, &st) == NRPC_OK && info.finished_ms,
             PATIENCE_MS);
    assert_int_equal(info.status, DTF_TASK_FAILED);
    assert_string_equal(info.message, text);
    assert_int_equal(file_lines(&c, "log", "crash"), crashes + CRASHES);
    assert_int_equal(
        cluster_wait(
            &c, cluster_create_gate(&c, "whole_gate", &(struct gate_param){.count = COUNT, .quiet = 1}, NULL))
            .status,
        DTF_TASK_COMPLETED);
    info = cluster_wait(&c, before);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 2000);
    assert_int_equal(file_lines(&c, "log", "crash"), crashes + CRASHES);
    assert_true(keep_up(0));
}

static void test_generator(void **state)
{
    (void)state;
    check_crash("generator", GATE_ABORT);
    check_crash("generator", GATE_STACK);
}

static void test_before_dispatch(void **state)
{
    (void)state;
    check_crash("before_dispatch", GATE_SEGMENT);
    check_crash("before_dispatch", GATE_EXIT);
    check_crash("before_dispatch", GATE_QUICK_EXIT);
}

static void test_after_execution(void **state)
{
    (void)state;
    check_crash("after_execution", GATE_ABORT);
    check_crash("after_execution", GATE_EXIT_NOW);
}

static void test_after_task_completed(void **state)
{
    (void)state;
    check_crash("after_task_completed", GATE_SEGMENT);
    check_crash("after_task_completed", GATE_STACK);
}

// A callback may fork. Nobody waits, in the child, for a thread that is not there.
static void test_child_exits(void **state)
{
    (void)state;
    struct gate_param p = {.count = COUNT, .crash = GATE_CHILD, .crash_in = "after_execution", .quiet = 1};
    int64_t begin_ms = cluster_now_ms();
    struct dtf_task_info info = cluster_wait(&c, cluster_create_gate(&c, "whole_gate", &p, NULL));
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, COUNT);
    assert_true(cluster_now_ms() - begin_ms < COUNT * 1000); // 3 s each, if they did
}

// Who is killed is not to blame.
static void test_kills(void **state)
{
    (void)state;
    uint64_t task = cluster_create_gate(
        &c, "whole_gate", &(struct gate_param){.count = 60, .review_ms = 100, .quiet = 1}, NULL);
    for (uint64_t done = 1; done < 60; done += 10) {
        WAIT_FOR(cluster_status(&c, task).succeeded >= done, PATIENCE_MS);
        cluster_restart(&c, SIGKILL);
    }
    assert_int_equal(cluster_wait(&c, task).status, DTF_TASK_COMPLETED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(generator),   TEST(before_dispatch), TEST(after_execution), TEST(after_task_completed),
        TEST(child_exits), TEST(kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
