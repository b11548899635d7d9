// SPDX-License-Identifier: Apache-2.0
// suspect_test.c: who is quarantined and who is not, the way back, and what is kept.
#include "sched/suspect.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { NODES = 40, TASK = 7 };

static struct suspect *s;
static int64_t now_ms;
static enum suspect_grade grades[NODES + 1]; // as the news said
static bool may[NODES + 1];                  // probe
static struct suspect_news last;             // that somebody is quarantined
static size_t quarantines, watches;

static int setup(void **state)
{
    (void)state;
    s = suspect_create();
    now_ms = 1000000;
    quarantines = watches = 0;
    for (int i = 0; i <= NODES; i++)
        grades[i] = may[i] = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    suspect_destroy(s);
    return 0;
}

// Takes the news; returns when to ask again.
static int64_t hear(size_t nodes)
{
    struct suspect_news n;
    int64_t next_ms;
    while (suspect_news(s, nodes, now_ms, &n, &next_ms)) {
        assert_in_range(n.node, 1, NODES);
        assert_true(n.may_probe ? n.grade != SUSPECT_WELL && n.grade == grades[n.node]
                                : n.grade != grades[n.node]);
        if (!n.may_probe && n.grade == SUSPECT_QUARANTINED) {
            last = n;
            quarantines++;
        }
        watches += n.grade == SUSPECT_WATCHING && !n.may_probe;
        may[n.node] = n.may_probe;
        grades[n.node] = n.grade;
    }
    size_t out = 0;
    for (int i = 1; i <= NODES; i++)
        out += grades[i] != SUSPECT_WELL;
    assert_true(2 * out <= nodes);
    return next_ms;
}

static void brings(uint64_t node, uint64_t task, uint32_t succeeded, uint32_t failed, size_t nodes)
{
    suspect_results(s, node, task, succeeded + failed, succeeded, failed, now_ms);
    hear(nodes);
}

// Each one by one.
static void bring_each(uint64_t node, uint64_t task, uint32_t succeeded, uint32_t failed, size_t nodes)
{
    for (uint32_t i = 0; i < succeeded; i++)
        brings(node, task, 1, 0, nodes);
    for (uint32_t i = 0; i < failed; i++)
        brings(node, task, 0, 1, nodes);
}

static void quarantine(uint64_t node, uint64_t by)
{
    bring_each(by, TASK, 40, 0, NODES);
    bring_each(node, TASK, 0, 20, NODES);
    assert_int_equal(grades[node], SUSPECT_QUARANTINED);
}

static void test_one_that_fails_all(void **state)
{
    (void)state;
    bring_each(1, TASK, 28, 0, 2);
    bring_each(2, TASK, 0, SUSPECT_FAILURES - 1, 2);
    assert_int_equal(grades[2], SUSPECT_WELL); // too few
    brings(2, TASK, 0, 1, 2);
    assert_int_equal(grades[2], SUSPECT_QUARANTINED);
    assert_true(last.own.failed == 10 && last.own.of == 10 && last.others.failed == 0 &&
                last.others.of == 28);
    assert_int_equal(grades[1], SUSPECT_WELL);
}

static void test_alone(void **state)
{
    (void)state;
    bring_each(1, TASK, 0, 500, 1);
    bring_each(1, TASK + 1, 500, 0, 1);
    bring_each(1, TASK, 0, 500, NODES); // the others have done nothing of it
    bring_each(2, TASK + 1, 500, 0, NODES);
    assert_int_equal(quarantines + watches, 0);
}

static void test_all_fail(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++)
        brings((uint64_t)i % 5 + 1, TASK, 0, 1, 5);
    brings(1, TASK, 0, 2000, 5); // however fast one is
    brings(2, TASK, 0, 2000, 5);
    assert_int_equal(quarantines, 0);
}

static void test_by_task(void **state)
{
    (void)state;
    // One node has all of a bad task, and does the good one as well as others: the sums would differ much.
    for (int i = 0; i < 100; i++) {
        brings(1, TASK, 0, 1, 3);
        brings(1, TASK + 1, 1, 0, 3);
        brings(2, TASK + 1, 1, 0, 3);
        brings(3, TASK, 0, 1, 3);
        brings(3, TASK + 1, 1, 0, 3);
    }
    assert_int_equal(quarantines + watches, 0);
    // Many small tasks, of which one node fails its part each time.
    for (uint64_t task = 100; task < 130; task++) {
        brings(2, task, 5, 0, 3);
        brings(3, task, 5, 0, 3);
        brings(1, task, 0, 1, 3);
    }
    assert_int_equal(grades[1], SUSPECT_QUARANTINED);
    assert_int_equal(quarantines, 1);
}

static void test_goes_bad_later(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++)
        brings((uint64_t)i % 3 + 1, TASK, 1, 0, 3);
    uint32_t failed = 0;
    while (grades[2] == SUSPECT_WELL && ++failed)
        brings(2, TASK, 0, 1, 3);
    assert_true(failed <= 2 * SUSPECT_WINDOW);
}

// What has not come back yet tells, too, for a while.
static void test_watched(void **state)
{
    (void)state;
    suspect_gave(s, 1, TASK, 4, now_ms);
    suspect_gave(s, 2, TASK, 4, now_ms);
    bring_each(2, TASK, 0, SUSPECT_WATCHED - 1, 2);
    assert_int_equal(grades[2], SUSPECT_WELL);
    brings(2, TASK, 0, 1, 2);
    assert_int_equal(grades[2], SUSPECT_WATCHING);
    assert_true(!may[2] && hear(2) == now_ms + SUSPECT_PROBE_FIRST_MS);
    brings(1, TASK, 0, 1, 2); // it fails there, too
    assert_int_equal(grades[2], SUSPECT_WELL);
    assert_int_equal(quarantines, 0);
    bring_each(2, TASK, 0, 50, 2);
    assert_int_equal(watches, 1);
}

static void test_watched_until_they_are_known(void **state)
{
    (void)state;
    suspect_gave(s, 1, TASK, 40, now_ms);
    bring_each(2, TASK, 0, SUSPECT_FAILURES, 2);
    assert_int_equal(grades[2], SUSPECT_WATCHING);
    uint32_t succeeded = 0;
    while (grades[2] == SUSPECT_WATCHING && ++succeeded < 40)
        brings(1, TASK, 1, 0, 2);
    assert_int_equal(grades[2], SUSPECT_QUARANTINED);
    assert_int_equal(succeeded, 28);
}

static void test_nobody_else_has_any(void **state)
{
    (void)state;
    suspect_gave(s, 1, TASK, 1, now_ms);
    bring_each(2, TASK, 0, SUSPECT_WATCHED, 2);
    assert_int_equal(grades[2], SUSPECT_WATCHING);
    suspect_returned(s, 1, TASK, 1, now_ms);
    hear(2);
    assert_int_equal(grades[2], SUSPECT_WELL);
    suspect_gave(s, 1, TASK, 9, now_ms);
    brings(2, TASK, 0, 1, 2);
    assert_int_equal(grades[2], SUSPECT_WATCHING);
    suspect_idle(s, 1, now_ms);
    hear(2);
    assert_int_equal(grades[2], SUSPECT_WELL);
    suspect_gave(s, 1, TASK, 9, now_ms);
    brings(2, TASK, 0, 1, 2);
    suspect_remove(s, 1);
    grades[1] = SUSPECT_WELL;
    hear(2);
    assert_int_equal(grades[2], SUSPECT_WELL);
}

// A probe that is due is given, and brings this.
static void probe(uint64_t node, bool succeeds)
{
    hear(NODES);
    assert_true(may[node]);
    may[node] = false;
    suspect_gave(s, node, TASK, 1, now_ms);
    assert_int_equal(hear(NODES), CLOCK_NEVER); // one at a time
    brings(node, TASK, succeeds, !succeeds, NODES);
}

static void test_way_back(void **state)
{
    (void)state;
    quarantine(2, 1);
    int64_t pause_ms = SUSPECT_PROBE_FIRST_MS;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(hear(NODES), now_ms + pause_ms);
        now_ms += pause_ms - 1;
        hear(NODES);
        assert_false(may[2]);
        now_ms++;
        probe(2, false);
        pause_ms = 2 * pause_ms < SUSPECT_PROBE_MAX_MS ? 2 * pause_ms : SUSPECT_PROBE_MAX_MS;
    }
    now_ms += pause_ms;
    probe(2, true);
    probe(2, true);  // immediately
    probe(2, false); // not in a row
    assert_int_equal(grades[2], SUSPECT_QUARANTINED);
    now_ms += SUSPECT_PROBE_MAX_MS;
    for (int i = 0; i < SUSPECT_PROBES; i++)
        probe(2, true);
    assert_int_equal(grades[2], SUSPECT_WELL);
    assert_int_equal(hear(NODES), CLOCK_NEVER);
    bring_each(2, TASK, 0, SUSPECT_FAILURES - 1, NODES); // what was before counts no more
    assert_int_equal(grades[2], SUSPECT_WELL);
    brings(2, TASK, 0, 1, NODES);
    assert_int_equal(grades[2], SUSPECT_QUARANTINED);
    assert_int_equal(hear(NODES), now_ms + SUSPECT_PROBE_MAX_MS); // it is known
}

static void test_clock_jumps(void **state)
{
    (void)state;
    quarantine(2, 1);
    now_ms -= 10 * (int64_t)SUSPECT_FORGET_MS;
    hear(NODES);
    assert_true(may[2]);                  // it does not wait till then
    assert_int_equal(suspect_size(s), 2); // of the other nothing is known
}

static void test_probe_that_does_not_come_back(void **state)
{
    (void)state;
    quarantine(2, 1);
    for (int i = 0; i < 3; i++) {
        now_ms += SUSPECT_PROBE_FIRST_MS;
        hear(NODES);
        assert_true(may[2]);
        suspect_gave(s, 2, TASK, 1, now_ms);
        may[2] = false;
        if (i == 0)
            suspect_returned(s, 2, TASK, 1, now_ms);
        else if (i == 1)
            suspect_idle(s, 2, now_ms);
        else
            suspect_results(s, 2, TASK, 1, 0, 0, now_ms); // cancelled
    }
    now_ms += 1;
    hear(NODES);
    assert_true(may[2]);
    suspect_remove(s, 2);
    grades[2] = SUSPECT_WELL;
    assert_int_equal(hear(NODES), CLOCK_NEVER);
}

static void test_minority(void **state)
{
    (void)state;
    for (uint64_t node = 1; node <= 7; node++)
        bring_each(node, TASK, 50, 0, 5);
    for (int round = 0; round < 100; round++)
        for (uint64_t node = 8; node <= 10; node++)
            brings(node, TASK, 0, 1, 5);
    assert_int_equal(quarantines, 2); // of five, not three
    assert_int_equal(grades[10], SUSPECT_WELL);
    brings(10, TASK, 0, 1, 6);
    assert_int_equal(grades[10], SUSPECT_QUARANTINED);
    hear(5); // who was first
    assert_true(!grades[8] && grades[9] && grades[10]);
    hear(3);
    assert_true(!grades[8] && !grades[9] && grades[10]);
    hear(1);
    assert_false(grades[10]);
}

static void test_put(void **state)
{
    (void)state;
    suspect_put(s, 3, now_ms);
    hear(NODES);
    assert_int_equal(grades[3], SUSPECT_WELL); // that is no news
    grades[3] = SUSPECT_QUARANTINED;
    now_ms += SUSPECT_PROBE_FIRST_MS;
    for (int i = 0; i < SUSPECT_PROBES; i++)
        probe(3, true);
    assert_int_equal(grades[3], SUSPECT_WELL);
    suspect_put(s, 3, now_ms);
    grades[3] = SUSPECT_QUARANTINED;
    hear(1); // it is the only one
    assert_int_equal(grades[3], SUSPECT_WELL);
}

static void test_keeps_what_is_active(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100000; i++)
        brings(i % 10 + 1, i / 10, 1, 0, 10);
    assert_true(suspect_size(s) <= 10 + 10 * SUSPECT_TASKS);
    now_ms += SUSPECT_FORGET_MS - 1;
    brings(11, 1, 1, 0, 11);
    assert_true(suspect_size(s) > 11);
    now_ms++;
    hear(11);
    assert_int_equal(suspect_size(s), 2);
    quarantine(2, 1);
    now_ms += 2 * (int64_t)SUSPECT_FORGET_MS;
    hear(NODES);
    assert_int_equal(grades[2], SUSPECT_QUARANTINED); // it is not known to be well
    suspect_remove(s, 2);
    assert_int_equal(suspect_size(s), 0);
}

// ---- chance

static uint64_t seed;

static uint64_t roll(uint64_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % sides;
}

// Nodes of different speed, one of them sick or none, take the items of a task in which so many of a hundred
// are bad, some at a time.
static void work(size_t nodes, uint64_t bad, uint64_t sick, long items)
{
    uint32_t held[NODES + 1] = {0};
    while (items > 0) {
        uint64_t node = 1 + roll(roll(nodes) + 1); // the first ones are the fastest
        uint32_t most = grades[node] ? may[node] : 4;
        now_ms += 10;
        if (held[node] < most) {
            held[node]++;
            may[node] = false;
            suspect_gave(s, node, TASK, 1, now_ms);
        } else if (held[node]) {
            held[node]--;
            items--;
            bool fails = node == sick || roll(100) < bad;
            brings(node, TASK, !fails, fails, nodes);
        }
        hear(nodes);
    }
}

static void draw_seed(void)
{
    const char *given = getenv("DTF_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 2654435761u | 1;
    print_message("           DTF_SEED=%llu\n", (unsigned long long)seed);
}

static void test_chance(void **state)
{
    (void)state;
    draw_seed();
    for (int i = 0; i < 60; i++) {
        size_t nodes = 2 + roll(8);
        uint64_t bad = roll(101);
        suspect_destroy(s);
        setup(NULL);
        work(nodes, bad, 0, 10000);
        if (quarantines)
            fail_msg("%zu of %zu nodes, %llu %% of whose items are bad", quarantines, nodes,
                     (unsigned long long)bad);
        assert_true(watches <= 10);
    }
}

static void test_one_of_many(void **state)
{
    (void)state;
    draw_seed();
    for (int i = 0; i < 60; i++) {
        size_t nodes = 2 + roll(8);
        uint64_t bad = roll(15), sick = 1 + roll(nodes);
        suspect_destroy(s);
        setup(NULL);
        work(nodes, bad, sick, 3000);
        if (grades[sick] != SUSPECT_QUARANTINED || last.node != sick)
            fail_msg("node %llu of %zu, %llu %% bad", (unsigned long long)sick, nodes,
                     (unsigned long long)bad);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_that_fails_all),
        TEST(test_alone),
        TEST(test_all_fail),
        TEST(test_by_task),
        TEST(test_goes_bad_later),
        TEST(test_watched),
        TEST(test_watched_until_they_are_known),
        TEST(test_nobody_else_has_any),
        TEST(test_way_back),
        TEST(test_clock_jumps),
        TEST(test_probe_that_does_not_come_back),
        TEST(test_minority),
        TEST(test_put),
        TEST(test_keeps_what_is_active),
        TEST(test_chance),
        TEST(test_one_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
