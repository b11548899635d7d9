// SPDX-License-Identifier: Apache-2.0
// features_events_test.c: who waits for events gets each of them once, in their order: of one task, or of
// all; however many wait, and over a restart of the coordinator.
#include "system/cluster.h"

#include "dtf/v1/task_service.nrpc.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
    TASKS = 20,
    OF_ALL = 5,
    READERS = TASKS + OF_ALL,
    EACH = 4,
    MOST = TASKS * EACH + 50
}; // EACH: events a task

struct reader {
    pthread_t thread;
    uint64_t task, after; // task 0: of all
    uint64_t seen[MOST];
    _Atomic size_t count;
};

static struct cluster c;
static struct nrpc_status st;
static struct nrpc_channel *channel;
static struct reader readers[READERS];
static _Atomic bool over;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    assert_int_equal(nrpc_channel_open(c.listen, NULL, &channel, &st), NRPC_OK);
    over = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nrpc_channel_close(channel);
    cluster_stop(&c);
    return 0;
}

static void *read_events(void *arg)
{
    struct reader *r = arg;
    while (!over) {
        Dtf__V1__EventsRequest q = DTF__V1__EVENTS_REQUEST__INIT;
        Dtf__V1__EventsResponse *answer;
        struct nrpc_status own;
        q.after = r->after;
        q.task_id = r->task;
        q.wait_ms = 2000;
        if (dtf_v1_task_service_events(channel, &(struct nrpc_call_options){.timeout_ms = 10000}, &q, &answer,
                                       &own)) {
            cluster_pause(); // the coordinator is away
            continue;
        }
        for (size_t i = 0; i < answer->n_events && r->count < MOST; i++) {
            r->after = r->seen[r->count] = answer->events[i]->sequence;
            r->count++;
        }
        dtf__v1__events_response__free_unpacked(answer, NULL);
    }
    return NULL;
}

static void start_reader(struct reader *r, uint64_t task)
{
    memset(r, 0, sizeof *r);
    r->task = task;
    assert_int_equal(pthread_create(&r->thread, NULL, read_events, r), 0);
}

// Created, paused, resumed, cancelled.
static void live(uint64_t task)
{
    assert_int_equal(dtf_task_pause(c.client, task, &st), NRPC_OK);
    assert_int_equal(dtf_task_resume(c.client, task, &st), NRPC_OK);
    assert_int_equal(dtf_task_cancel(c.client, task, "enough", &st), NRPC_OK);
    assert_int_equal(cluster_wait(&c, task).status, DTF_TASK_CANCELLED);
}

static void check_reader(const struct reader *r, size_t count)
{
    WAIT_FOR(r->count >= count, PATIENCE_MS);
    assert_int_equal(r->count, count);
    for (size_t i = 1; i < count; i++)
        assert_true(r->seen[i] > r->seen[i - 1]);
    for (size_t i = 1; i < count && !r->task; i++) // events have no gaps
        assert_true(r->seen[i] == r->seen[i - 1] + 1);
}

static void check_events(bool restart)
{
    uint64_t tasks[TASKS];
    for (size_t i = 0; i < OF_ALL; i++)
        start_reader(&readers[TASKS + i], 0);
    for (size_t i = 0; i < TASKS; i++) {
        tasks[i] = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1, .quiet = 1}, NULL);
        start_reader(&readers[i], tasks[i]);
    }
    for (size_t i = 0; i < TASKS; i++) {
        if (restart && i == TASKS / 2)
            cluster_restart(&c, SIGKILL);
        live(tasks[i]);
    }
    for (size_t i = 0; i < READERS; i++)
        check_reader(&readers[i], readers[i].task ? EACH : (size_t)TASKS * EACH);
    over = true;
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
}

static void test_all_get_all(void **state)
{
    (void)state;
    check_events(false);
}

static void test_over_a_restart(void **state)
{
    (void)state;
    check_events(true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(all_get_all), TEST(over_a_restart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
