// SPDX-License-Identifier: Apache-2.0
// features_feeder_test.c: a task ends with the client that feeds it, unless it may stay; and not because
// nobody was there to hear that client.
#include "system/cluster.h"
#include "system/marked.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LEASE_MS = 5000, FEW_MS = 8000, SLOTS = 2, KEEP_MS = 1000 };

static struct cluster c;
static struct nrpc_status st;
static char script[MARK_BYTES + 100], mark[MARK_BYTES];

static int setup(void **state)
{
    (void)state;
    mark_make(mark);
    snprintf(script, sizeof script, "export %s=%s; sleep 1000; true", MARK_NAME, mark);
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "1000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

static uint64_t create(uint32_t lease_ms)
{
    const struct dtf_task_param p = {.feeder_lease_ms = lease_ms, .keep_results = true};
    uint64_t task = cluster_create_commands(&c, &p, script, 2 * SLOTS, 3600000);
    WAIT_FOR(marked_count(mark) >= SLOTS, PATIENCE_MS);
    return task;
}

static void wait_for(int64_t ms) // it is the time itself that must do nothing
{
    for (int64_t until_ms = cluster_now_ms() + ms; cluster_now_ms() < until_ms;)
        cluster_pause();
}

static void check_ended(uint64_t task)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_CANCELLED);
    assert_string_equal(info.message, "its feeder has not been heard of for 5 s");
    WAIT_FOR(marked_count(mark) == 0, FEW_MS);
}

static void test_silent(void **state)
{
    (void)state;
    int64_t start_ms = cluster_now_ms();
    check_ended(create(LEASE_MS));
    assert_in_range(cluster_now_ms() - start_ms, LEASE_MS - 100, LEASE_MS + FEW_MS);
}

static void test_stays(void **state)
{
    (void)state;
    uint64_t task = create(0);
    wait_for(LEASE_MS + 3000);
    assert_int_equal(cluster_status(&c, task).status, DTF_TASK_RUNNING);
    assert_int_equal(dtf_task_keep(c.client, task, 1000, &st), NRPC_OK); // changes nothing
    wait_for(LEASE_MS + 3000);
    assert_int_equal(cluster_status(&c, task).running, SLOTS);
}

struct keeper {
    uint64_t task;
    pthread_t thread;
    atomic_bool stop;
};

static void *keep(void *user)
{
    struct keeper *k = user;
    struct nrpc_status own;
    while (!atomic_load(&k->stop)) {
        (void)dtf_task_keep(c.client, k->task, KEEP_MS, &own);
        wait_for(KEEP_MS);
    }
    return NULL;
}

static void start_keeping(struct keeper *k, uint64_t task)
{
    *k = (struct keeper){.task = task};
    assert_int_equal(pthread_create(&k->thread, NULL, keep, k), 0);
}

static void stop_keeping(struct keeper *k)
{
    atomic_store(&k->stop, true);
    pthread_join(k->thread, NULL);
}

// All were fed; the feeder is there, and then not.
static void test_kept(void **state)
{
    (void)state;
    struct keeper k;
    uint64_t task = create(LEASE_MS);
    start_keeping(&k, task);
    wait_for(2 * LEASE_MS);
    struct dtf_task_info info = cluster_status(&c, task);
    stop_keeping(&k);
    assert_int_equal(info.status, DTF_TASK_RUNNING);
    check_ended(task);
}

// The coordinator is away for longer than the lease, and stands still for longer than it; the feeder cannot
// say anything then, and is heard of later.
static void test_outages(void **state)
{
    (void)state;
    struct keeper k;
    uint64_t task = create(LEASE_MS);
    start_keeping(&k, task);
    daemon_kill(&c.coordinator, SIGKILL);
    wait_for(LEASE_MS + 2000);
    cluster_start_coordinator(&c);
    wait_for(LEASE_MS + 2000);
    assert_int_equal(cluster_status(&c, task).status, DTF_TASK_RUNNING);
    assert_int_equal(kill(c.coordinator.pid, SIGSTOP), 0);
    wait_for(LEASE_MS + 2000);
    assert_int_equal(kill(c.coordinator.pid, SIGCONT), 0);
    wait_for(LEASE_MS + 2000);
    struct dtf_task_info info = cluster_status(&c, task);
    stop_keeping(&k);
    assert_int_equal(info.status, DTF_TASK_RUNNING);
    cluster_restart(&c, SIGKILL); // and nobody is heard of
    check_ended(task);
}

static void test_refused(void **state)
{
    (void)state;
    uint64_t task;
    const struct dtf_task_param short_one = {.type = "command", .fed = true, .feeder_lease_ms = 100};
    const struct dtf_task_param not_fed = {.type = "command", .feeder_lease_ms = LEASE_MS};
    assert_int_equal(dtf_task_create(c.client, &short_one, &task, &st), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "feeder_lease_ms"));
    assert_int_equal(dtf_task_create(c.client, &not_fed, &task, &st), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "feeder_lease_ms"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(silent), TEST(stays), TEST(kept), TEST(outages), TEST(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
