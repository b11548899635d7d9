// SPDX-License-Identifier: Apache-2.0
// features_record_test.c: what is kept: acknowledged tasks, idempotency keys, results and failures, over kill
// -9.
#include "system/cluster.h"

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
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

static void test_key(void **state)
{
    (void)state;
    struct dtf_task_param one = {.idempotency_key = "once", .name = "first"};
    struct dtf_task_param other = {.idempotency_key = "once more"};
    struct gate_param g = {.count = 1};
    uint64_t first = cluster_create_gate(&c, "gate", &g, &one);
    assert_true(cluster_create_gate(&c, "gate", &g, &one) == first);
    assert_true(cluster_create_gate(&c, "gate", &g, &other) != first);
    assert_true(cluster_create_gate(&c, "gate", &g, NULL) != cluster_create_gate(&c, "gate", &g, NULL));
    cluster_restart(&c, SIGKILL);
    assert_true(cluster_create_gate(&c, "gate", &g, &one) == first);
    cluster_start_node(&c, 0, "2", "1000");
    assert_int_equal(cluster_wait(&c, first).status, DTF_TASK_COMPLETED);
    assert_true(cluster_create_gate(&c, "gate", &g, &one) == first); // also when it has ended
    assert_string_equal(cluster_status(&c, first).name, "first");
}

static void test_acknowledged(void **state)
{
    (void)state;
    uint64_t tasks[8];
    for (int i = 0; i < 8; i++) {
        tasks[i] = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 20}, NULL);
        cluster_restart(&c, SIGKILL); // at once
    }
    cluster_start_node(&c, 0, "2", "1000");
    for (int i = 0; i < 8; i++) {
        struct dtf_task_info info = cluster_wait(&c, tasks[i]);
        assert_int_equal(info.status, DTF_TASK_COMPLETED);
        assert_int_equal(info.generated, 20);
        assert_int_equal(info.succeeded, 20);
    }
}

// ---- results

struct read {
    size_t results, failures, params;
    uint32_t sum;
};

static void take_result(void *user, const struct dtf_task_result *t)
{
    struct read *r = user;
    uint32_t index = 0;
    r->results++;
    if (t->result.kind == DTF_RESULT_SUCCESS) {
        assert_int_equal(t->result.body_bytes, sizeof index);
        memcpy(&index, t->result.body, sizeof index);
        r->sum += index;
        return;
    }
    r->failures++;
    assert_int_equal(t->result.kind, DTF_RESULT_FAILURE);
    if (!t->param_bytes)
        return;
    struct gate_subtask s;
    assert_int_equal(t->param_bytes, sizeof s);
    memcpy(&s, t->param, sizeof s);
    assert_int_equal(s.index, t->subtask_id);
    assert_int_equal(t->attempt, 2); // the last
    char message[60];
    snprintf(message, sizeof message, "attempt 2 of %u is to fail", s.index);
    assert_string_equal(t->result.message, message);
    r->params++;
}

static void read_all(uint64_t task, bool failed_only, struct read *r)
{
    struct nrpc_status st;
    uint64_t cursor = 0;
    memset(r, 0, sizeof *r);
    for (bool end = false; !end;)
        assert_int_equal(
            dtf_task_results(c.client, task, &cursor, 1000, failed_only, take_result, r, &end, &st), NRPC_OK);
}

static void test_results(void **state)
{
    (void)state;
    struct read r;
    struct dtf_task_param more = {.keep_results = true};
    cluster_start_node(&c, 0, "2", "1000");
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 500}, &more);
    assert_int_equal(cluster_wait(&c, task).succeeded, 500);
    cluster_restart(&c, SIGKILL); // they are still there afterwards
    read_all(task, false, &r);
    assert_int_equal(r.results, 500);
    assert_int_equal(r.sum, 500 * 501 / 2);
    read_all(task, true, &r);
    assert_int_equal(r.results, 0);
}

static void test_failures(void **state)
{
    (void)state;
    struct read r;
    struct dtf_task_param more = {.tolerated_failures = -1, .max_retries = 1, .retry_backoff_ms = 1};
    cluster_start_node(&c, 0, "2", "1000");
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 30, .failures = 9}, &more);
    assert_int_equal(cluster_wait(&c, task).failed, 30);
    for (int i = 0; i < 2; i++) { // reading acknowledges nothing
        read_all(task, true, &r);
        assert_int_equal(r.failures, 30);
        assert_int_equal(r.params, 30);
        cluster_restart(&c, SIGKILL);
    }
}

static void test_list(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct dtf_task_info infos[50];
    size_t count = 50;
    uint64_t tasks[30];
    for (int i = 0; i < 30; i++)
        tasks[i] = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL);
    assert_int_equal(dtf_task_cancel(c.client, tasks[7], NULL, &st), NRPC_OK);
    cluster_wait(&c, tasks[7]);
    assert_int_equal(dtf_task_list(c.client, 0, 0, infos, &count, &st), NRPC_OK);
    assert_int_equal(count, 30);
    for (int i = 0; i < 30; i++)
        assert_true(infos[i].id == tasks[29 - i]); // newest first
    count = 50;
    assert_int_equal(dtf_task_list(c.client, DTF_TASK_CANCELLED, 0, infos, &count, &st), NRPC_OK);
    assert_int_equal(count, 1);
    assert_true(infos[0].id == tasks[7]);
    count = 5;
    assert_int_equal(dtf_task_list(c.client, 0, tasks[10], infos, &count, &st), NRPC_OK);
    assert_int_equal(count, 5);
    assert_true(infos[0].id == tasks[9]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(key), TEST(acknowledged), TEST(results), TEST(failures),
                                       TEST(list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
