// SPDX-License-Identifier: Apache-2.0
// sched_test.c: what one decision may contain: limits, filters, taking picks back, tasks that come and go.
#include "sched/sched.h"

#include "dtf.h"
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sim sim;

static void set(struct sched *s, uint64_t id, uint64_t ready, uint64_t running, uint32_t max_running)
{
    sched_set_task(s, &(struct sched_task){id, "g", DTF_PRIORITY_LOW, ready, running, max_running});
}

static uint32_t pick(struct sched *s, uint32_t want, uint64_t *task)
{
    struct sched_pick p[64];
    size_t n = sched_pick(s, want, NULL, NULL, p, 64);
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i].count;
    if (task)
        *task = n ? p[0].task : 0;
    return sum;
}

static void test_nothing(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    assert_int_equal(pick(s, 10, NULL), 0);
    sched_remove_task(s, 7);
    sched_unpick(s, 7, 3, 3);
    sched_used(s, 7, 3, 100);
    set(s, 1, 0, 0, 0);
    assert_int_equal(pick(s, 10, NULL), 0);
    set(s, 1, 5, 0, 0);
    assert_int_equal(pick(s, 0, NULL), 0);
    assert_int_equal(sched_ready(s), 5);
    sched_destroy(s);
    sched_destroy(NULL);
}

static void test_max_running(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    set(s, 1, 100, 0, 3);
    assert_int_equal(sched_ready(s), 3); // more may not go
    assert_int_equal(pick(s, 10, NULL), 3);
    assert_int_equal(pick(s, 10, NULL), 0);
    set(s, 1, 97, 2, 3);
    assert_int_equal(pick(s, 10, NULL), 1);
    set(s, 1, 96, 7, 3); // more run than may: the limit was made smaller, say
    assert_int_equal(sched_ready(s), 0);
    assert_int_equal(pick(s, 10, NULL), 0);
    sched_destroy(s);
}

static void test_max_running_long(void **state)
{
    (void)state;
    srandom(1);
    sim_init(&sim, 16);
    size_t narrow = sim_add(&sim, "g", DTF_PRIORITY_HIGH, 1000, 500);
    size_t wide = sim_add(&sim, "g", DTF_PRIORITY_LOW, 20000, 500);
    sim.tasks[narrow].view.max_running = 2;
    sched_set_task(sim.sched, &sim.tasks[narrow].view);
    sim_run(&sim, INT64_MAX);
    assert_int_equal(sim.tasks[narrow].most_running, 2);
    assert_true(sim.tasks[wide].most_running >= 14); // slots that one task may not use are the other's
    assert_int_equal(sim.tasks[narrow].settled, 1000);
    assert_int_equal(sim.tasks[wide].settled, 20000);
    sim_fini(&sim);
}

static bool is_even(void *user, uint64_t task)
{
    ++*(int *)user;
    return task % 2 == 0;
}

static void test_fits(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    struct sched_pick p[64];
    int asked = 0;
    for (uint64_t id = 1; id <= 40; id++)
        set(s, id, 2, 0, 0);
    size_t n = sched_pick(s, 1000, is_even, &asked, p, 64);
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(p[i].task % 2, 0);
        assert_true(i == 0 || p[i].task != p[i - 1].task);
        sum += p[i].count;
    }
    assert_int_equal(sum, 40);
    assert_in_range(asked, 40, 80);
    assert_int_equal(sched_ready(s), 40); // the odd ones are still there
    assert_int_equal(pick(s, 1000, NULL), 40);
    sched_destroy(s);
}

static void test_room_for_picks(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    struct sched_pick p[4];
    for (uint64_t id = 1; id <= 10; id++)
        set(s, id, 1, 0, 0);
    assert_int_equal(sched_pick(s, 100, NULL, NULL, p, 4), 4);
    assert_int_equal(sched_ready(s), 6);
    assert_int_equal(sched_pick(s, 100, NULL, NULL, p, 4), 4);
    assert_int_equal(sched_pick(s, 100, NULL, NULL, p, 4), 2);
    assert_int_equal(sched_ready(s), 0);
    sched_destroy(s);
}

static void test_unpick(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    uint64_t task;
    set(s, 1, 1, 0, 1);
    assert_int_equal(pick(s, 5, &task), 1);
    assert_int_equal(task, 1);
    set(s, 2, 100, 0, 0);
    sched_unpick(s, 1, 1, 0);
    assert_int_equal(sched_ready(s), 100); // it is no longer ready: the state says when
    set(s, 1, 1, 0, 1);
    assert_int_equal(sched_ready(s), 101);
    bool again = false; // it was not charged for what did not go: it is no further behind than the other
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pick(s, 1, &task), 1);
        again |= task == 1;
    }
    assert_true(again);
    sched_unpick(s, 1, 1000, 0); // more than there are
    sched_destroy(s);
}

// What found no room in an answer is ready as before, and can be picked again immediately.
static void test_unpick_ready(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    set(s, 1, 40, 0, 0);
    set(s, 2, 40, 0, 10);
    assert_int_equal(pick(s, 50, NULL), 50);
    assert_int_equal(sched_ready(s), 0);
    sched_unpick(s, 1, 40, 40);
    sched_unpick(s, 2, 10, 7); // three of them are gone
    assert_int_equal(sched_ready(s), 50);
    assert_int_equal(pick(s, 50, NULL), 50);
    sched_destroy(s);
}

// What was charged at a guess is corrected by what it cost.
static void test_cost_correction(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    uint64_t first, second;
    set(s, 1, 1000, 0, 0);
    set(s, 2, 1000, 0, 0);
    pick(s, 10, &first);
    assert_true(first == 1 || first == 2);
    sched_used(s, first, 10, 50000000); // five seconds each
    for (int i = 0; i < 20; i++) {
        pick(s, 1, &second);
        assert_int_equal(second, 3 - first);
    }
    sched_used(s, first, 0, 1); // no results, no news
    sched_destroy(s);
}

// Cheap subtasks are picked in large turns, dear ones one by one.
static void test_turns(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    struct sched_pick p[64];
    set(s, 1, 100000, 0, 0);
    set(s, 2, 100000, 0, 0);
    for (int i = 0; i < 20; i++) {
        sched_used(s, 1, 1000, 1000 * 2); // two microseconds each
        sched_used(s, 2, 32, 32 * 50000);
    }
    size_t n = sched_pick(s, 2000, NULL, NULL, p, 64);
    uint32_t most[3] = {0};
    for (size_t i = 0; i < n; i++)
        if (p[i].count > most[p[i].task])
            most[p[i].task] = p[i].count;
    assert_true(most[1] >= 500);
    assert_true(most[2] <= 2);
    sched_destroy(s);
}

// Subtasks that take as long as a whole turn, one a pick: a task keeps the turn that it is given, while it
// has some and fits; nobody gets more by it.
static void test_turns_over_picks(void **state)
{
    (void)state;
    enum { TURN = 8, ROUNDS = 50, TASKS = 3 };
    struct sched *s = sched_create();
    uint64_t task = 0, last = 0, got[TASKS + 1] = {0};
    for (uint64_t id = 1; id <= TASKS; id++) {
        set(s, id, 10000, 0, 0);
        sched_used(s, id, 32, 32 * 1000000);
    }
    sched_set_turn(s, TURN);
    for (int i = 0; i < ROUNDS * TASKS; i++) {
        last = 0;
        for (int k = 0; k < TURN; k++) {
            assert_int_equal(pick(s, 1, &task), 1);
            assert_true(!last || task == last);
            got[task]++;
            last = task;
        }
    }
    for (uint64_t id = 1; id <= TASKS; id++)
        assert_in_range(got[id], (ROUNDS - 1) * TURN, (ROUNDS + 1) * TURN);
    assert_int_equal(pick(s, 1, &last), 1); // who has the turn goes, or has nothing more
    sched_remove_task(s, last);
    assert_int_equal(pick(s, 1, &task), 1);
    assert_true(task != last);
    set(s, task, 0, 0, 0);
    last = task;
    assert_int_equal(pick(s, 1, &task), 1);
    assert_true(task != last);
    sched_set_turn(s, 1);
    assert_int_equal(pick(s, 1, &last), 1);
    sched_destroy(s);
}

// Told whenever more may go than before, and only then.
static void test_news(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    uint64_t news = sched_news(s);
    assert_true(news != 0);
    set(s, 1, 5, 0, 0);
    assert_true(sched_news(s) != news);
    news = sched_news(s);
    assert_int_equal(pick(s, 2, NULL), 2);
    set(s, 1, 3, 2, 0);
    set(s, 1, 0, 0, 0);
    assert_true(sched_news(s) == news);
    sched_unpick(s, 1, 1, 1);
    assert_true(sched_news(s) != news);
    news = sched_news(s);
    sched_rest(s, 1, true);
    assert_true(sched_news(s) == news);
    sched_rest(s, 1, false);
    assert_true(sched_news(s) != news);
    sched_destroy(s);
}

static uint32_t pick_ahead(struct sched *s, uint32_t want, int64_t wait_us)
{
    struct sched_pick p[64];
    uint32_t sum = 0;
    size_t n = sched_pick_ahead(s, want, wait_us, NULL, NULL, p, 64);
    for (size_t i = 0; i < n; i++)
        sum += p[i].count;
    return sum;
}

// Only what is known to be short may wait for a slot.
static void test_ahead(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    set(s, 1, 1000, 0, 0);
    assert_int_equal(sched_cost_us(s, 1), 0);
    assert_int_equal(pick_ahead(s, 100, INT64_MAX), 0); // not known
    sched_used(s, 1, 1, 3000);
    assert_int_equal(sched_cost_us(s, 1), 3000);
    assert_int_equal(pick_ahead(s, 100, 2999), 0);
    assert_int_equal(pick_ahead(s, 100, 3000), 1);
    assert_int_equal(pick_ahead(s, 100, 59999), 19);
    assert_int_equal(pick_ahead(s, 7, 100000), 7);
    assert_int_equal(pick_ahead(s, 0, 100000), 0);
    assert_int_equal(pick_ahead(s, 100, 0), 0);
    assert_int_equal(pick_ahead(s, 100, -1), 0);
    sched_doubt(s, 1);
    assert_int_equal(sched_cost_us(s, 1), 0);
    assert_int_equal(pick_ahead(s, 100, 100000), 0);
    sched_used(s, 1, 2, 4000000); // after a doubt only what is new counts
    assert_int_equal(sched_cost_us(s, 1), 2000000);
    assert_int_equal(pick_ahead(s, 100, 100000), 0);
    assert_int_equal(sched_ready(s), 1000 - 27);
    sched_doubt(s, 99); // nobody's
    assert_int_equal(sched_cost_us(s, 99), 0);
    sched_destroy(s);
}

// Nobody goes ahead of whose turn it is; but of what does not fit the node.
static void test_ahead_in_turn(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    struct sched_pick p[4];
    int asked = 0;
    set(s, 2, 100, 0, 0);
    sched_used(s, 2, 10, 10 * 1000);
    sched_set_task(s, &(struct sched_task){3, "other", DTF_PRIORITY_LOW, 1, 0, 0});
    uint32_t first = pick_ahead(s, 100, 1000000), all = first;
    assert_true(first < 100); // then it is the other's turn, which costs nobody knows what
    assert_int_equal(pick_ahead(s, 100, 1000000), 0);
    for (size_t n; (n = sched_pick_ahead(s, 100, 1000000, is_even, &asked, p, 4)); all += p[0].count) {
        assert_int_equal(n, 1);
        assert_int_equal(p[0].task, 2);
    }
    assert_int_equal(all, 100);
    sched_destroy(s);
}

static void test_many_tasks(void **state)
{
    (void)state;
    srandom(2);
    sim_init(&sim, 32);
    static char groups[10][8];
    for (int i = 0; i < SIM_TASKS_MAX; i++) {
        groups[i % 10][0] = (char)('a' + i % 10);
        sim_add(&sim, groups[i % 10], (uint32_t)(random() % 9001), 1, 1 + random() % 1000);
    }
    assert_int_equal(sched_ready(sim.sched), SIM_TASKS_MAX);
    sim_run(&sim, INT64_MAX);
    for (int i = 0; i < SIM_TASKS_MAX; i++) {
        assert_int_equal(sim.tasks[i].picked, 1);
        assert_int_equal(sim.tasks[i].settled, 1);
    }
    assert_int_equal(sched_ready(sim.sched), 0);
    sim_fini(&sim);
}

// Random news in any order: sched_ready stays the sum, and picks never exceed it.
static void test_random_news(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    uint64_t ready[21] = {0}, running[21] = {0};
    static const char *const groups[] = {"a", "b", "c"};
    srandom(3);
    for (int i = 0; i < 50000; i++) {
        uint64_t id = 1 + (uint64_t)random() % 20, sum = 0;
        long what = random() % 10;
        if (what < 4) {
            ready[id] = (uint64_t)random() % 50;
            sched_set_task(s, &(struct sched_task){id, groups[id % 3], 9000, ready[id], running[id], 0});
        } else if (what == 4) {
            sched_remove_task(s, id);
            ready[id] = running[id] = 0;
        } else if (what == 5) {
            sched_set_group(s, groups[random() % 3], (uint32_t)(random() % 20000));
        } else if (what == 6) {
            sched_used(s, id, 1 + (uint64_t)random() % 5, random() % 100000);
        } else {
            struct sched_pick p[8];
            size_t n = sched_pick(s, (uint32_t)(random() % 100), NULL, NULL, p, 8);
            for (size_t k = 0; k < n; k++) {
                assert_in_range(p[k].count, 1, ready[p[k].task]);
                ready[p[k].task] -= p[k].count;
                running[p[k].task] += p[k].count;
            }
        }
        for (size_t k = 1; k <= 20; k++)
            sum += ready[k];
        assert_int_equal(sched_ready(s), sum);
    }
    sched_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_max_running),
        cmocka_unit_test(test_max_running_long),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_room_for_picks),
        cmocka_unit_test(test_unpick),
        cmocka_unit_test(test_unpick_ready),
        cmocka_unit_test(test_cost_correction),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_over_picks),
        cmocka_unit_test(test_news),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_ahead_in_turn),
        cmocka_unit_test(test_many_tasks),
        cmocka_unit_test(test_random_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
