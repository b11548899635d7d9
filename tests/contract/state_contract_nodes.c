// SPDX-License-Identifier: Apache-2.0
// state_contract_nodes.c: nodes that come, stay, vanish and say goodbye.
#include "state_contract_fixture.h"

static size_t node_list(struct fixture *f, struct state_node **nodes)
{
    size_t count;
    must(f, f->ops->nodes(f->s, &f->arena, nodes, &count, &f->st));
    return count;
}

static void test_node_add(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    assert_int_equal(node_list(f, &n), 0);
    uint64_t a = node_make(f, f->now_ms + 10), b = node_make(f, f->now_ms + 20);
    assert_true(a && b && a != b);
    assert_int_equal(node_list(f, &n), 2);
    assert_true(n[0].id == a && n[0].pid == 77 && n[0].slots == 4 && n[0].lease_until_ms == f->now_ms + 10);
    assert_string_equal(n[0].name, "n");
    assert_string_equal(n[0].host, "h");
    assert_string_equal(n[0].types, "count\nsum");
    assert_true(n[0].running == 0 && n[0].settled == 0);
    must(f, f->ops->node_remove(f->s, b, &f->st));
    uint64_t c = node_make(f, 0);
    assert_true(c != a && c != b); // never used again
}

static void test_node_renew(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    uint64_t *lost, a = node_make(f, f->now_ms + 10), b = node_make(f, f->now_ms + 500);
    size_t count;
    uint64_t ids[3] = {a, b + 9, b};
    must(f, f->ops->node_renew(f->s, ids, 3, f->now_ms + 100, &f->arena, &lost, &count, &f->st));
    assert_true(count == 1 && lost[0] == b + 9);
    node_list(f, &n);
    assert_true(n[0].lease_until_ms == f->now_ms + 100 && n[1].lease_until_ms == f->now_ms + 500);
    must(f, f->ops->node_grace(f->s, f->now_ms + 300, &f->st));
    node_list(f, &n);
    assert_true(n[0].lease_until_ms == f->now_ms + 300 && n[1].lease_until_ms == f->now_ms + 500);
}

static void test_sweep_lost_node(void **state)
{
    struct fixture *f = *state;
    uint64_t a = node_make(f, f->now_ms + 10), b = node_make(f, f->now_ms + 1000);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 100, true);
    push(f, 2, 3, true);
    struct works w = lease(f, a, 1, 40);
    lease(f, b, 1, 10);
    lease(f, b, 2, 1);
    char *before = snapshot(f);
    struct swept s = sweep(f);
    assert_int_equal(s.count, 0);
    assert_true(s.next_ms > f->now_ms && s.next_ms <= f->now_ms + 10);
    assert_unchanged(f, before);
    f->now_ms += 10;
    char *others = snapshot_except(f, 1);
    told(f);
    s = sweep(f);
    assert_true(s.count == 1 && s.lost[0] == a);
    assert_told(f, "view:1");
    assert_look(f, 1, "draining gen=100 redispatched=40 run=10 queued=90 done ready=90");
    assert_string_equal(snapshot_except(f, 1), others);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    struct works again = lease(f, b, 1, 40);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(again.at[i].attempt, 2);
    s = sweep(f);
    assert_true(s.count == 0 && s.next_ms > f->now_ms);
}

static void test_sweep_losses_up(void **state)
{
    struct fixture *f = *state;
    struct state_task task = task_sample(1);
    task.keep_results = true;
    admit_task(f, &task);
    push(f, 1, 1, true);
    for (int i = 0; i <= STATE_LOSSES_MAX; i++) {
        uint64_t node = node_make(f, f->now_ms + 10);
        assert_int_equal(lease(f, node, 1, 1).count, 1);
        f->now_ms += 10;
        assert_int_equal(sweep(f).count, 1);
    }
    assert_look(f, 1, "closed completed gen=1 failed=1 redispatched=5 done");
    assert_non_null(strstr(snapshot(f), "failure 1: seq 1 attempt 6 kind 5"));
    assert_non_null(strstr(snapshot(f), "result 1: seq 1 attempt 6 kind 5"));
    assert_true(sweep(f).next_ms == CLOCK_NEVER);
}

static void test_sweep_overdue_subtask(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 2, true); // timeouts of 1001 and 1002 ms
    struct works w = lease(f, node, 1, 2);
    struct swept s = sweep(f);
    int64_t due_ms = f->now_ms + 31001;
    assert_true(s.next_ms > f->now_ms && s.next_ms <= due_ms);
    f->now_ms = due_ms - 1;
    s = sweep(f);
    assert_look(f, 1, "draining gen=2 run=2 done");
    assert_true(s.next_ms == due_ms);
    f->now_ms = due_ms;
    s = sweep(f);
    assert_int_equal(s.count, 0);
    assert_look(f, 1, "draining gen=2 retried=1 run=1 queued=1 done next=100");
    assert_true(s.next_ms == due_ms + 1);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    assert_int_equal(settle(f, &w.at[1], MODEL_SUCCESS), STATE_SETTLED);
    f->now_ms += 100;
    assert_int_equal(lease(f, node, 1, 2).count, 1);
    f->now_ms += 40000;
    sweep(f);
    assert_look(f, 1, "closed completed gen=2 ok=1 timed_out=1 retried=1 done");
}

static void test_reconcile(void **state)
{
    struct fixture *f = *state;
    uint64_t a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 60, true);
    push(f, 2, 4, true);
    struct works w = lease(f, a, 1, 35);
    lease(f, a, 2, 1);
    lease(f, b, 1, 5);
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_reconcile(f->s, b + 7, NULL, 0, &f->st));
    assert_unchanged(f, before);
    struct state_ref held[] = {ref_of(&w.at[34]), {2, 1, 1}, {1, 2, 9}, ref_of(&w.at[0]), {5, 5, 5}};
    told(f);
    must(f, f->ops->node_reconcile(f->s, a, held, 5, &f->st));
    assert_told(f, "view:1");
    assert_look(f, 1, "draining gen=60 redispatched=33 run=7 queued=53 done ready=53");
    assert_look(f, 2, "draining gen=4 run=1 queued=3 done ready=3");
    assert_int_equal(settle(f, &w.at[1], MODEL_SUCCESS), STATE_STALE);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_SETTLED);
    must(f, f->ops->node_reconcile(f->s, a, NULL, 0, &f->st));
    assert_look(f, 1, "draining gen=60 ok=1 redispatched=34 run=5 queued=54 done ready=54");
    assert_look(f, 2, "draining gen=4 redispatched=1 queued=4 done ready=4");
    struct state_node *n;
    assert_int_equal(node_list(f, &n), 2);
    assert_true(n[0].running == 0 && n[0].settled == 1 && n[1].running == 5);
}

static void test_node_remove(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    uint64_t a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 10, true);
    lease(f, a, 1, 4);
    lease(f, b, 1, 1);
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_remove(f->s, b + 1, &f->st));
    assert_unchanged(f, before);
    must(f, f->ops->node_remove(f->s, a, &f->st));
    assert_look(f, 1, "draining gen=10 redispatched=4 run=1 queued=9 done ready=9");
    assert_int_equal(node_list(f, &n), 1);
    assert_true(n[0].id == b && n[0].running == 1);
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_remove(f->s, a, &f->st));
    assert_int_equal(lease(f, b, 1, 20).count, 9);
}

const struct CMUnitTest state_node_tests[] = {
    TEST(test_node_add),        TEST(test_node_renew),  TEST(test_sweep_lost_node),
    TEST(test_sweep_losses_up), TEST(test_node_remove), TEST(test_sweep_overdue_subtask),
    TEST(test_reconcile),
};
const size_t state_node_count = sizeof state_node_tests / sizeof *state_node_tests;
