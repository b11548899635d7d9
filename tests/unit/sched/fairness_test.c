// SPDX-License-Identifier: Apache-2.0
// fairness_test.c: over long simulated runs, slot time is shared as quotas and priorities say, whatever
// subtasks cost, and nobody starves.
#include "sim.h"

#include "dtf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECOND = 1000000, PLENTY = 100000000 };

static struct sim s;

// used / all is share, within `tolerance` of it.
static void check_share(const char *what, int64_t used, int64_t all, double share, double tolerance)
{
    double got = (double)used / (double)all;
    if (got < share * (1 - tolerance) || got > share * (1 + tolerance))
        fail_msg("%s got %.4f of the slot time, not %.4f", what, got, share);
}

static void check_quotas(int64_t a_us, int64_t b_us, int64_t c_us, int64_t seconds, double tolerance)
{
    srandom(3);
    sim_init(&s, 4);
    sched_set_group(s.sched, "a", 100);
    sched_set_group(s.sched, "b", 200);
    sched_set_group(s.sched, "c", 400);
    sim_add(&s, "a", DTF_PRIORITY_LOW, PLENTY, a_us);
    sim_add(&s, "b", DTF_PRIORITY_LOW, PLENTY, b_us);
    sim_add(&s, "c", DTF_PRIORITY_LOW, PLENTY, c_us);
    sim_run(&s, seconds * SECOND);
    int64_t a = sim_used(&s, "a"), b = sim_used(&s, "b"), c = sim_used(&s, "c"), all = a + b + c;
    assert_true(all > seconds * SECOND * 39 / 10); // no slot idles
    check_share("a", a, all, 1 / 7., tolerance);
    check_share("b", b, all, 2 / 7., tolerance);
    check_share("c", c, all, 4 / 7., tolerance);
    sim_fini(&s);
}

static void test_quotas(void **state)
{
    (void)state;
    check_quotas(1000, 1000, 1000, 20, 0.02);
    check_quotas(10, 10, 10, 1, 0.02);
    check_quotas(50000, 50000, 50000, 200, 0.05);
}

static void test_quotas_and_costs(void **state)
{
    (void)state;
    check_quotas(100, 10000, 1000, 60, 0.05);
    check_quotas(20000, 1000, 100, 60, 0.05);
    check_quotas(2000000, 1000, 1000, 3000, 0.1); // long runs are far from what was thought at first
}

// The number of a group's tasks does not matter; inside it they share alike.
static void test_many_against_one(void **state)
{
    (void)state;
    srandom(4);
    sim_init(&s, 8);
    for (int i = 0; i < 200; i++)
        sim_add(&s, "crowd", DTF_PRIORITY_LOW, PLENTY, 2000);
    sim_add(&s, "alone", DTF_PRIORITY_LOW, PLENTY, 2000);
    sim_run(&s, 60 * SECOND);
    int64_t crowd = sim_used(&s, "crowd"), alone = sim_used(&s, "alone");
    check_share("alone", alone, crowd + alone, 0.5, 0.03);
    for (size_t i = 0; i < 200; i++)
        check_share("one of the crowd", s.tasks[i].used_us, crowd, 1 / 200., 0.15);
    sim_fini(&s);
}

static void test_priorities(void **state)
{
    (void)state;
    srandom(5);
    sim_init(&s, 4);
    size_t low = sim_add(&s, "g", DTF_PRIORITY_LOW, PLENTY, 1000);
    size_t medium = sim_add(&s, "g", DTF_PRIORITY_MEDIUM, PLENTY, 1000);
    size_t high = sim_add(&s, "g", DTF_PRIORITY_HIGH, PLENTY, 1000);
    sim_run(&s, 200 * SECOND);
    int64_t all = sim_used(&s, "g");
    check_share("low", s.tasks[low].used_us, all, 1 / 265., 0.1);
    check_share("medium", s.tasks[medium].used_us, all, 8 / 265., 0.05);
    check_share("high", s.tasks[high].used_us, all, 256 / 265., 0.02);
    sim_fini(&s);
}

// A high priority in one group takes nothing from another group.
static void test_priority_stays_home(void **state)
{
    (void)state;
    srandom(6);
    sim_init(&s, 4);
    sim_add(&s, "a", DTF_PRIORITY_HIGH, PLENTY, 1000);
    sim_add(&s, "b", DTF_PRIORITY_LOW, PLENTY, 1000);
    sim_run(&s, 20 * SECOND);
    check_share("b", sim_used(&s, "b"), sim_used(&s, "a") + sim_used(&s, "b"), 0.5, 0.02);
    sim_fini(&s);
}

static void test_nobody_starves(void **state)
{
    (void)state;
    srandom(7);
    sim_init(&s, 2);
    sched_set_group(s.sched, "tiny", 1);
    sched_set_group(s.sched, "huge", SCHED_QUOTA_MAX);
    for (int i = 0; i < 20; i++)
        sim_add(&s, "huge", DTF_PRIORITY_HIGH, PLENTY, 1000);
    size_t tiny = sim_add(&s, "tiny", DTF_PRIORITY_LOW, PLENTY, 1000);
    size_t least = sim_add(&s, "huge", DTF_PRIORITY_LOW, PLENTY, 1000);
    sim_run(&s, 300 * SECOND);
    assert_true(s.tasks[tiny].settled >= 20);
    assert_true(s.tasks[least].settled >= 20);
    for (size_t i = 0; i < s.task_count; i++)
        assert_in_range(s.tasks[i].first_pick_us, 0, 30 * SECOND);
    sim_fini(&s);
}

// Who had nothing to do for a long time gets its share from then on, not what it missed.
static void test_return(void **state)
{
    (void)state;
    srandom(8);
    sim_init(&s, 4);
    sim_add(&s, "busy", DTF_PRIORITY_LOW, PLENTY, 1000);
    size_t back = sim_add(&s, "away", DTF_PRIORITY_LOW, 10, 1000);
    size_t sibling = sim_add(&s, "busy", DTF_PRIORITY_LOW, 0, 1000);
    sim_run(&s, 30 * SECOND);
    assert_int_equal(s.tasks[back].settled, 10);
    int64_t busy_us = sim_used(&s, "busy"), away_us = s.tasks[back].used_us;
    (void)sim_add(&s, "away", DTF_PRIORITY_LOW, PLENTY, 1000);
    sim_add_subtasks(&s, sibling, PLENTY);
    sim_run(&s, 32 * SECOND);
    busy_us = sim_used(&s, "busy") - busy_us;
    away_us = sim_used(&s, "away") - away_us;
    check_share("who came back", away_us, busy_us + away_us, 0.5, 0.05);
    check_share("the sibling", s.tasks[sibling].used_us, busy_us, 0.5, 0.05);
    sim_fini(&s);
}

// Who used everything while it was alone does not pay for that later.
static void test_no_debt(void **state)
{
    (void)state;
    srandom(9);
    sim_init(&s, 4);
    sim_add(&s, "old", DTF_PRIORITY_LOW, PLENTY, 1000);
    sim_run(&s, 60 * SECOND);
    int64_t before_us = sim_used(&s, "old");
    sim_add(&s, "new", DTF_PRIORITY_LOW, PLENTY, 1000);
    sim_run(&s, 62 * SECOND);
    int64_t old_us = sim_used(&s, "old") - before_us, new_us = sim_used(&s, "new");
    check_share("old", old_us, old_us + new_us, 0.5, 0.05);
    sim_fini(&s);
}

// Groups of many tasks of one subtask each share by quota, too.
static void test_single_subtasks(void **state)
{
    (void)state;
    srandom(10);
    sim_init(&s, 4);
    sched_set_group(s.sched, "a", 100);
    sched_set_group(s.sched, "b", 300);
    sim_add(&s, "a", DTF_PRIORITY_LOW, PLENTY, 20000);
    for (int i = 0; i < 5000; i++)
        sim_add(&s, "b", DTF_PRIORITY_LOW, 1, 20000);
    sim_run(&s, 20 * SECOND);
    int64_t a = sim_used(&s, "a"), b = sim_used(&s, "b");
    check_share("a", a, a + b, 0.25, 0.1);
    sim_fini(&s);
}

// Half a million picks of two hours each: a thousand times what virtual time has room for.
static void test_for_ever(void **state)
{
    (void)state;
    const int64_t two_hours_us = INT64_C(7200) * SECOND;
    uint64_t picked[5] = {0};
    struct sched *sched = sched_create();
    sched_set_group(sched, "a", 1);
    sched_set_group(sched, "b", 3);
    for (uint64_t id = 1; id <= 4; id++)
        sched_set_task(sched, &(struct sched_task){.id = id, .group = id <= 2 ? "a" : "b", .ready = PLENTY});
    for (int i = 0; i < 500000; i++) {
        struct sched_pick pick;
        assert_int_equal(sched_pick(sched, 1, NULL, NULL, &pick, 1), 1);
        picked[pick.task]++;
        sched_used(sched, pick.task, 1, two_hours_us);
    }
    static const double share[5] = {0, 1 / 8., 1 / 8., 3 / 8., 3 / 8.};
    for (uint64_t id = 1; id <= 4; id++)
        check_share("a task", (int64_t)picked[id], 500000, share[id], 0.01);
    sched_destroy(sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_quotas_and_costs),
        cmocka_unit_test(test_many_against_one),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_priority_stays_home),
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_return),
        cmocka_unit_test(test_no_debt),
        cmocka_unit_test(test_single_subtasks),
        cmocka_unit_test(test_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
