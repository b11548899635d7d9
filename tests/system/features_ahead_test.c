// SPDX-License-Identifier: Apache-2.0
// features_ahead_test.c: unequal run times: what waits at a node for its slots is little, and goes back when
// something takes longer than was known; so nobody idles beside a node that hoards, nothing times out that
// never began, and nobody waits longer than for one slot.
#include "system/cluster.h"

#include "dtf/v1/node.nrpc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { QUICK = 1000, SLOW = 16, SLOW_MS = 700, SLOTS = 2 };

static struct cluster c;
static struct nrpc_status st;

static int setup(void **state)
{
    (void)state;
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

// Whether each of `count` nodes holds this many subtasks.
static bool all_hold(size_t count, uint64_t running)
{
    struct dtf_node_info nodes[8];
    size_t n = 8;
    assert_int_equal(dtf_nodes(c.client, nodes, &n, &st), NRPC_OK);
    bool so = n == count;
    for (size_t i = 0; i < n; i++)
        so &= nodes[i].running == running;
    return so;
}

// How many subtasks from this one on began on node i.
static size_t begun_on(int i, unsigned from)
{
    char path[4300], what[20];
    unsigned index, attempt;
    int pid;
    size_t count = 0;
    file_path(&c, "log", path, sizeof path);
    FILE *f = fopen(path, "r");
    while (f && fscanf(f, "%19s %u %u %d", what, &index, &attempt, &pid) == 4)
        count += !strcmp(what, "start") && index >= from && pid == (int)c.nodes[i].pid;
    if (f)
        fclose(f);
    return count;
}

static void check_completed(uint64_t task, uint64_t count)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, count);
    assert_int_equal(info.timed_out + info.failed, 0);
}

static uint64_t create(const char *type, const struct gate_param *p)
{
    return cluster_create_gate(&c, type, p, NULL);
}

// A node that has run quick ones of one task gets no more of a new one than it has slots for.
static void test_a_new_task(void **state)
{
    (void)state;
    check_completed(create("gate", &(struct gate_param){.count = QUICK, .quiet = 1}), QUICK);
    uint64_t task = create(
        "gate", &(struct gate_param){.count = SLOW, .slow_from = 1, .slow_ms = SLOW_MS, .timeout_ms = 1500});
    WAIT_FOR(all_hold(1, SLOTS), PATIENCE_MS);
    cluster_start_node(&c, 1, "2", "1000");
    WAIT_FOR(all_hold(2, SLOTS), PATIENCE_MS);
    check_completed(task, SLOW);
    assert_true(begun_on(0, 1) >= SLOW / 4);
    assert_true(begun_on(1, 1) >= SLOW / 4);
}

// The same task's subtasks are quick, and then they are not.
static void check_slow_tail(const char *type)
{
    cluster_start_node(&c, 1, "2", "1000");
    uint64_t task = create(
        type, &(struct gate_param){
                  .count = QUICK + SLOW, .slow_from = QUICK + 1, .slow_ms = SLOW_MS, .timeout_ms = 1500});
    WAIT_FOR(begun_on(0, QUICK + 1) + begun_on(1, QUICK + 1) >= 2, PATIENCE_MS);
    WAIT_FOR(all_hold(2, SLOTS), PATIENCE_MS);
    check_completed(task, QUICK + SLOW);
    assert_true(begun_on(0, QUICK + 1) >= SLOW / 4);
    assert_true(begun_on(1, QUICK + 1) >= SLOW / 4);
}

static void test_a_slow_tail(void **state)
{
    (void)state;
    check_slow_tail("gate");
}

static void test_a_slow_tail_vetted(void **state)
{
    (void)state;
    check_slow_tail("vetted_gate");
}

// Who comes later waits for one slot, whatever is queued before it.
static void test_another_group(void **state)
{
    (void)state;
    uint64_t task = create(
        "gate", &(struct gate_param){
                    .count = QUICK + SLOW, .slow_from = QUICK + 1, .slow_ms = SLOW_MS, .timeout_ms = 1500});
    WAIT_FOR(begun_on(0, QUICK + 1) >= 2, PATIENCE_MS);
    struct dtf_task_param other = {.resource_group = "other", .priority = DTF_PRIORITY_HIGH};
    uint64_t urgent = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1, .quiet = 1}, &other);
    check_completed(urgent, 1);
    assert_true(begun_on(0, QUICK + 1) <=
                2 * SLOTS + 1); // those before it, and at the most one turn of their successors
    check_completed(task, QUICK + SLOW);
}

// What has not begun when a task is paused does not begin.
static void test_pause(void **state)
{
    (void)state;
    file_touch(&c, "hold");
    uint64_t task = create("gate", &(struct gate_param){.count = SLOW, .timeout_ms = 60000});
    WAIT_FOR(begun_on(0, 1) == SLOTS, PATIENCE_MS);
    assert_int_equal(dtf_task_pause(c.client, task, &st), NRPC_OK);
    WAIT_FOR(all_hold(1, SLOTS), PATIENCE_MS);
    file_remove(&c, "hold");
    WAIT_FOR(all_hold(1, 0), PATIENCE_MS);
    assert_int_equal(begun_on(0, 1), SLOTS);
    assert_int_equal(dtf_task_resume(c.client, task, &st), NRPC_OK);
    check_completed(task, SLOW);
}

// ---- nodes that ask for what they have no slots for: this test plays them

static const struct nrpc_call_options soon = {.timeout_ms = 20000};
static struct nrpc_channel *ch;

static Dtf__V1__RegisterResponse *enter(uint32_t slots)
{
    static char *types[] = {"gate"};
    Dtf__V1__RegisterRequest r = DTF__V1__REGISTER_REQUEST__INIT;
    Dtf__V1__RegisterResponse *response;
    r.name = "greedy";
    r.slots = slots;
    r.types = types;
    r.n_types = 1;
    r.session = 1000 + slots;
    assert_int_equal(dtf_v1_node_service_register_(ch, &soon, &r, &response, &st), NRPC_OK);
    return response;
}

static size_t work_in(const Dtf__V1__ExchangeResponse *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->n_tasks; i++)
        count += r->tasks[i]->n_work;
    return count;
}

static size_t ask(const Dtf__V1__RegisterResponse *as, uint32_t want, uint32_t ahead, uint64_t wait_ms)
{
    Dtf__V1__ExchangeRequest r = DTF__V1__EXCHANGE_REQUEST__INIT;
    Dtf__V1__ExchangeResponse *response;
    r.node_id = as->node_id;
    r.session = as->session;
    r.want = want;
    r.ahead = ahead;
    r.ahead_us = UINT64_MAX;
    r.wait_ms = wait_ms;
    assert_int_equal(dtf_v1_node_service_exchange(ch, &soon, &r, &response, &st), NRPC_OK);
    size_t count = work_in(response);
    dtf__v1__exchange_response__free_unpacked(response, NULL);
    return count;
}

static void test_greedy(void **state)
{
    (void)state;
    daemon_kill(&c.nodes[0], SIGTERM);
    assert_int_equal(nrpc_channel_open(c.listen, NULL, &ch, &st), NRPC_OK);
    for (uint32_t slots = 1; slots <= 3; slots++) {
        uint64_t task = create("gate", &(struct gate_param){.count = 5000, .quiet = 1, .timeout_ms = 60000});
        Dtf__V1__RegisterResponse *as = enter(slots);
        size_t got = ask(as, 9000, 9000, 5000);
        assert_int_equal(got, slots);
        for (int i = 0; i < 10; i++)
            got += ask(as, i % 2 ? UINT32_MAX : slots, 9000, i < 5 ? 0 : 20);
        assert_in_range(got, slots, 2 * slots); // results may be on their way
        assert_int_equal(dtf_task_cancel(c.client, task, NULL, &st), NRPC_OK);
        Dtf__V1__LeaveRequest leave = DTF__V1__LEAVE_REQUEST__INIT;
        Dtf__V1__LeaveResponse *left;
        leave.node_id = as->node_id;
        leave.session = as->session;
        assert_int_equal(dtf_v1_node_service_leave(ch, &soon, &leave, &left, &st), NRPC_OK);
        dtf__v1__leave_response__free_unpacked(left, NULL);
        dtf__v1__register_response__free_unpacked(as, NULL);
    }
    nrpc_channel_close(ch);
}

// A node that gives back what another one runs changes nothing.
static void test_another_ones(void **state)
{
    (void)state;
    assert_int_equal(nrpc_channel_open(c.listen, NULL, &ch, &st), NRPC_OK);
    file_touch(&c, "hold");
    uint64_t task = create("gate", &(struct gate_param){.count = SLOTS, .timeout_ms = 60000});
    WAIT_FOR(begun_on(0, 1) == SLOTS, PATIENCE_MS);
    Dtf__V1__RegisterResponse *as = enter(1);
    Dtf__V1__ExchangeRequest r = DTF__V1__EXCHANGE_REQUEST__INIT;
    Dtf__V1__ExchangeResponse *response;
    Dtf__V1__SubtaskRef ref = DTF__V1__SUBTASK_REF__INIT, *refs[] = {&ref};
    r.node_id = as->node_id;
    r.session = as->session;
    r.want = 1;
    r.returned = refs;
    r.n_returned = 1;
    ref.task_id = task;
    ref.attempt = 1;
    for (ref.subtask_id = 1; ref.subtask_id <= SLOTS; ref.subtask_id++) {
        assert_int_equal(dtf_v1_node_service_exchange(ch, &soon, &r, &response, &st), NRPC_OK);
        assert_int_equal(work_in(response), 0);
        dtf__v1__exchange_response__free_unpacked(response, NULL);
    }
    struct dtf_task_info info = cluster_status(&c, task);
    assert_int_equal(info.redispatched, 0);
    file_remove(&c, "hold");
    check_completed(task, SLOTS);
    assert_int_equal(begun_on(0, 1), SLOTS);
    dtf__v1__register_response__free_unpacked(as, NULL);
    nrpc_channel_close(ch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_new_task, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_tail_vetted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greedy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_ones, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
