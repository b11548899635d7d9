// SPDX-License-Identifier: Apache-2.0
// features_control_test.c: steering tasks over the network: pause, resume, cancel, timeouts, retries,
// tolerated failures, before_dispatch, follow-ups; with real processes.
#include "system/cluster.h"
#include "system/ledger.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cluster c;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "5000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

// ---- pause and resume

static void test_pause(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 300, .run_ms = 10}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") >= 10, PATIENCE_MS);
    assert_int_equal(dtf_task_pause(c.client, task, &st), NRPC_OK);
    assert_int_equal(dtf_task_pause(c.client, task, &st), NRPC_OK); // twice is once
    WAIT_FOR(cluster_status(&c, task).running == 0, 1000);
    size_t started = file_lines(&c, "log", "start");
    struct dtf_task_info info = cluster_status(&c, task);
    assert_int_equal(info.status, DTF_TASK_PAUSED);
    assert_true(info.succeeded < 300);
    for (int64_t until_ms = cluster_now_ms() + 500; cluster_now_ms() < until_ms; cluster_pause())
        assert_int_equal(file_lines(&c, "log", "start"), started); // nothing starts meanwhile
    assert_int_equal(dtf_task_resume(c.client, task, &st), NRPC_OK);
    WAIT_FOR(file_lines(&c, "log", "start") > started, 1000);
    info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 300);
    assert_int_equal(file_lines(&c, "log", "start"), 300);
    assert_int_equal(dtf_task_pause(c.client, task, &st), NRPC_FAILED_PRECONDITION);
    assert_int_equal(dtf_task_resume(c.client, task + 1000, &st), NRPC_NOT_FOUND);
}

// A pause outlives the coordinator.
static void test_pause_restart(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 200, .run_ms = 10}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") >= 5, PATIENCE_MS);
    assert_int_equal(dtf_task_pause(c.client, task, &st), NRPC_OK);
    cluster_restart(&c, SIGKILL);
    WAIT_FOR(cluster_status(&c, task).running == 0, PATIENCE_MS);
    size_t started = file_lines(&c, "log", "start");
    assert_int_equal(cluster_status(&c, task).status, DTF_TASK_PAUSED);
    for (int64_t until_ms = cluster_now_ms() + 300; cluster_now_ms() < until_ms; cluster_pause())
        assert_int_equal(file_lines(&c, "log", "start"), started);
    assert_int_equal(dtf_task_resume(c.client, task, &st), NRPC_OK);
    assert_int_equal(cluster_wait(&c, task).succeeded, 200);
}

// ---- cancel and timeouts

static void check_group_gone(long leader, long child)
{
    bool gone = false;
    for (int64_t until_ms = cluster_now_ms() + 3000; !gone && cluster_now_ms() < until_ms; cluster_pause())
        gone = process_is_gone(leader) && process_is_gone(child);
    if (!gone)
        kill((pid_t)-leader, SIGKILL);
    assert_true(gone);
}

static const char *const two_processes = "sleep 1000 & echo $! > child; echo $$ > leader; exec sleep 1000";

static void test_cancel(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint64_t task = cluster_create_commands(&c, NULL, two_processes, 1, 0);
    WAIT_FOR(file_number(&c, "leader") && file_number(&c, "child"), PATIENCE_MS);
    assert_int_equal(dtf_task_cancel(c.client, task, "not needed any more", &st), NRPC_OK);
    check_group_gone(file_number(&c, "leader"), file_number(&c, "child"));
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_CANCELLED);
    assert_string_equal(dtf_task_status_name(info.status), "cancelled");
    assert_string_equal(info.message, "not needed any more");
    assert_int_equal(info.cancelled, 1);
    assert_int_equal(dtf_task_cancel(c.client, task, NULL, &st), NRPC_OK); // twice is once
}

// A cancel reaches what runs on a node that the coordinator, which has just started, has not heard of yet.
static void test_cancel_restart(void **state)
{
    (void)state;
    struct nrpc_status st;
    file_touch(&c, "hold");
    uint64_t task =
        cluster_create_gate(&c, "gate", &(struct gate_param){.count = 2, .timeout_ms = 120000}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") == 2, PATIENCE_MS);
    cluster_restart(&c, SIGKILL);
    int code;
    WAIT_FOR((code = dtf_task_cancel(c.client, task, "", &st)) != NRPC_UNAVAILABLE, PATIENCE_MS);
    assert_int_equal(code, NRPC_OK);
    WAIT_FOR(file_lines(&c, "log", "cancel") == 2, 5000);
    assert_int_equal(cluster_wait(&c, task).status, DTF_TASK_CANCELLED);
    file_remove(&c, "hold");
}

// What runs on a node goes on while its coordinator starts again: the node keeps it under a new number.
static void test_restart_keeps_what_runs(void **state)
{
    (void)state;
    file_touch(&c, "hold");
    uint64_t task =
        cluster_create_gate(&c, "gate", &(struct gate_param){.count = 2, .timeout_ms = 120000}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") == 2, PATIENCE_MS);
    for (int i = 0; i < 2; i++) {
        cluster_restart(&c, i ? SIGTERM : SIGKILL);
        WAIT_FOR(cluster_status(&c, task).running == 2, PATIENCE_MS);
    }
    file_remove(&c, "hold");
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 2);
    assert_int_equal(info.redispatched, 0);
    assert_int_equal(file_lines(&c, "log", "start"), 2);
}

static void test_cancel_queued(void **state)
{
    (void)state;
    struct nrpc_status st;
    file_touch(&c, "hold");
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 5000}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") == 2, PATIENCE_MS);
    WAIT_FOR(cluster_status(&c, task).generation_done, PATIENCE_MS);
    assert_int_equal(dtf_task_cancel(c.client, task, NULL, &st), NRPC_OK);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_CANCELLED);
    assert_int_equal(info.cancelled, 5000);
    assert_int_equal(info.generated, 5000);
    WAIT_FOR(file_lines(&c, "log", "cancel") == 2, 3000);
    assert_int_equal(file_lines(&c, "log", "start"), 2);
}

static void test_subtask_timeout(void **state)
{
    (void)state;
    int64_t start_ms = cluster_now_ms();
    struct dtf_task_param more = {.tolerated_failures = -1};
    uint64_t task = cluster_create_commands(&c, &more, two_processes, 1, 500);
    WAIT_FOR(file_number(&c, "leader") && file_number(&c, "child"), PATIENCE_MS);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_in_range(cluster_now_ms() - start_ms, 500, 10000);
    check_group_gone(file_number(&c, "leader"), file_number(&c, "child"));
    assert_int_equal(info.status, DTF_TASK_COMPLETED); // it tolerates any number
    assert_int_equal(info.timed_out, 1);
    assert_int_equal(info.succeeded + info.failed + info.cancelled, 0);
}

static void test_task_timeout(void **state)
{
    (void)state;
    int64_t start_ms = cluster_now_ms();
    struct dtf_task_param more = {.timeout_ms = 700};
    uint64_t task = cluster_create_commands(&c, &more, two_processes, 1, 0);
    WAIT_FOR(file_number(&c, "leader") && file_number(&c, "child"), PATIENCE_MS);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_in_range(cluster_now_ms() - start_ms, 700, 10000);
    check_group_gone(file_number(&c, "leader"), file_number(&c, "child"));
    assert_int_equal(info.status, DTF_TASK_TIMED_OUT);
    assert_string_equal(info.message, "not finished within the task's timeout");
    assert_int_equal(info.cancelled, 1);
}

// ---- retries and failures

static void test_retries(void **state)
{
    (void)state;
    struct dtf_task_param more = {.max_retries = 5, .retry_backoff_ms = 10};
    uint64_t task = cluster_create_commands(&c, &more, "echo x >> tries; test $(wc -l < tries) -ge 4", 1, 0);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 1);
    assert_int_equal(info.failed, 0);
    assert_int_equal(info.retried, 3);
    assert_int_equal(file_lines(&c, "tries", "x"), 4);
}

static void test_retries_end(void **state)
{
    (void)state;
    struct dtf_task_param more = {.max_retries = 2, .retry_backoff_ms = 10, .tolerated_failures = 10};
    uint64_t task = cluster_create_commands(&c, &more, "echo x >> tries; exit 3", 5, 0);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.failed, 5);
    assert_int_equal(info.retried, 10);
    assert_int_equal(file_lines(&c, "tries", "x"), 15);
}

static void test_tolerated(void **state)
{
    (void)state;
    struct dtf_task_param more = {.tolerated_failures = 2};
    uint64_t task = cluster_create_commands(&c, &more, "echo x >> tries; sleep 0.05; exit 1", 1000, 0);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_FAILED);
    assert_in_range(info.failed, 3, 20);
    assert_int_equal(info.failed + info.cancelled, 1000);
    assert_non_null(strstr(info.message, "2"));
    assert_in_range(file_lines(&c, "tries", "x"), 3, 20); // it failed early
}

// ---- callbacks of a plugin in another process

static void test_before_dispatch(void **state)
{
    (void)state;
    file_touch(&c, "closed");
    uint64_t task = cluster_create_gate(&c, "vetted_gate", &(struct gate_param){.count = 50}, NULL);
    WAIT_FOR(cluster_status(&c, task).generation_done, PATIENCE_MS);
    for (int64_t until_ms = cluster_now_ms() + 500; cluster_now_ms() < until_ms; cluster_pause())
        assert_int_equal(file_lines(&c, "log", "start") + file_lines(&c, "log", "dispatch"), 0);
    uint64_t other =
        cluster_create_gate(&c, "gate", &(struct gate_param){.count = 20}, NULL); // is not held up
    assert_int_equal(cluster_wait(&c, other).status, DTF_TASK_COMPLETED);
    assert_int_equal(cluster_status(&c, task).succeeded, 0);
    file_remove(&c, "closed");
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 50);
    assert_int_equal(info.retried, 0); // to be declined is no failure
    assert_int_equal(file_lines(&c, "log", "dispatch"), 50);
    assert_int_equal(file_lines(&c, "log", "start"), 70);
}

static void test_followups(void **state)
{
    (void)state;
    struct ledger_param param = {1000, 0};
    uint64_t task = cluster_create(
        &c,
        &(struct dtf_task_param){.type = "ledger", .type_param = &param, .type_param_bytes = sizeof param});
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.generated, 1100);
    assert_int_equal(info.succeeded, 1100);
}

static void test_bad_generator(void **state)
{
    (void)state;
    uint64_t task = cluster_create(
        &c, &(struct dtf_task_param){.type = "ledger", .type_param = "?", .type_param_bytes = 1});
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_FAILED);
    assert_string_equal(info.message, "the parameter of ledger is a struct ledger_param");
}

struct waiter {
    char url[200];
    uint64_t task;
    int code;
    struct dtf_task_info info;
    struct nrpc_status st;
};

static void *wait_for_task(void *arg)
{
    struct waiter *w = arg;
    struct dtf_client *own;
    w->code = dtf_client_open(w->url, &own, &w->st);
    if (w->code)
        return NULL;
    w->code = dtf_task_wait(own, w->task, 60000, &w->info, &w->st);
    dtf_client_close(own);
    return NULL;
}

// Who waits, and has had no answer before, waits on however often the coordinator restarts.
static void test_wait_over_restarts(void **state)
{
    (void)state;
    pthread_t thread;
    file_touch(&c, "hold");
    struct waiter w = {.task = cluster_create_gate(
                           &c, "gate", &(struct gate_param){.count = 1, .timeout_ms = 120000}, NULL)};
    WAIT_FOR(file_lines(&c, "log", "start") == 1, PATIENCE_MS);
    snprintf(w.url, sizeof w.url, "%s", c.listen);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_task, &w), 0);
    for (int i = 0; i < 5; i++) {
        for (int64_t until_ms = cluster_now_ms() + 500; cluster_now_ms() < until_ms;) // it has connected
            cluster_pause();
        cluster_restart(&c, i % 2 ? SIGKILL : SIGTERM);
    }
    file_remove(&c, "hold");
    pthread_join(thread, NULL);
    if (w.code)
        fail_msg("wait: %s", w.st.text);
    assert_int_equal(w.info.status, DTF_TASK_COMPLETED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pause),
        TEST(pause_restart),
        TEST(cancel),
        TEST(cancel_queued),
        TEST(subtask_timeout),
        TEST(task_timeout),
        TEST(retries),
        TEST(retries_end),
        TEST(tolerated),
        TEST(before_dispatch),
        TEST(followups),
        TEST(bad_generator),
        TEST(cancel_restart),
        TEST(restart_keeps_what_runs),
        TEST(wait_over_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
