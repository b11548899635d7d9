// SPDX-License-Identifier: Apache-2.0
// long_test.c: a billion seconds of a thousand slots, with random groups, quotas, priorities and run times,
// groups that idle and tasks that pause: no sum wraps (the scheduler is compiled to trap where one would),
// and whoever comes back gets its share soon.
#include "sched/sched.h"

#include "dtf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GROUPS = 6, TASKS = 40, SLOTS = 1000, PLENTY = 1000000, PATIENCE = 30 };

static const double day_s = 86400, longest_run_s = 20 * 86400.0, end_s = 1e9;

struct actor {
    struct sched_task view;
    unsigned group;
    double weight;
    double due_s; // slot time by which it must have been picked; 0: nothing is expected
};

static struct {
    struct sched *sched;
    struct actor actors[TASKS + 1]; // by id
    double quotas[GROUPS];
    double spent_s; // slot time
    uint64_t comebacks;
} world;

static const char *const names[GROUPS] = {"a", "b", "c", "d", "e", "f"};
static const uint32_t priorities[3] = {DTF_PRIORITY_LOW, DTF_PRIORITY_MEDIUM, DTF_PRIORITY_HIGH};
static const double weights[3] = {1, 8, 256};

// The part of all slot time that an actor has a right to when everybody wants something: its least share.
static double least_share(const struct actor *a)
{
    double quota_sum = 0, weight_sum = 0;
    for (unsigned g = 0; g < GROUPS; g++)
        quota_sum += world.quotas[g];
    for (uint64_t id = 1; id <= TASKS; id++)
        if (world.actors[id].group == a->group)
            weight_sum += world.actors[id].weight;
    return world.quotas[a->group] / quota_sum * a->weight / weight_sum;
}

static void come_back(struct actor *a)
{
    a->view.ready = PLENTY;
    sched_set_task(world.sched, &a->view);
    a->due_s = world.spent_s + PATIENCE * longest_run_s / least_share(a);
    world.comebacks++;
}

static void go_away(struct actor *a)
{
    a->view.ready = 0;
    a->due_s = 0;
    sched_set_task(world.sched, &a->view);
}

static void world_init(const uint32_t *quotas)
{
    world.spent_s = 0;
    world.sched = sched_create();
    for (unsigned g = 0; g < GROUPS; g++) {
        world.quotas[g] = quotas[g];
        sched_set_group(world.sched, names[g], quotas[g]);
    }
    for (uint64_t id = 1; id <= TASKS; id++) {
        struct actor *a = &world.actors[id];
        a->group = (unsigned)(id % GROUPS);
        unsigned kind = a->group < 3 ? 0 : (unsigned)random() % 3; // time goes fast where all weigh 1
        a->weight = weights[kind];
        a->view = (struct sched_task){.id = id, .group = names[a->group], .priority = priorities[kind]};
        come_back(a);
    }
}

// A run is a second, or an hour, or days.
static int64_t random_run_us(void)
{
    static const int64_t scales_us[] = {1000000, 3600000000, 86400000000, 20 * INT64_C(86400000000)};
    return 1 + (int64_t)((double)scales_us[random() % 4] * (double)random() / RAND_MAX);
}

static void serve(void)
{
    struct sched_pick picks[8];
    size_t n = sched_pick(world.sched, 8, NULL, NULL, picks, 8);
    for (size_t i = 0; i < n; i++) {
        struct actor *a = &world.actors[picks[i].task];
        int64_t run_us = random_run_us() * picks[i].count;
        if (random() % 16 == 0) {
            sched_unpick(world.sched, picks[i].task, picks[i].count, picks[i].count);
        } else {
            sched_used(world.sched, picks[i].task, picks[i].count, run_us);
            world.spent_s += (double)run_us / 1e6;
        }
        a->due_s = 0;
        sched_set_task(world.sched, &a->view);
    }
    if (!n)
        world.spent_s += SLOTS * day_s; // all are away
}

// Most come and go from one moment to the next; those of the first group stay away for ages.
static void disturb(void)
{
    struct actor *a = &world.actors[1 + random() % TASKS];
    if (random() % 4 == 0) {
        if (a->view.ready)
            go_away(a);
        else if (a->group != 0 || random() % 200 == 0)
            come_back(a);
    }
    if (random() % 10000 == 0)
        for (uint64_t id = 1; id <= TASKS; id++)
            if (world.actors[id].group == a->group)
                go_away(&world.actors[id]);
}

static void check_due(void)
{
    for (uint64_t id = 1; id <= TASKS; id++) {
        const struct actor *a = &world.actors[id];
        if (a->due_s != 0 && a->due_s < world.spent_s)
            fail_msg("task %d, group %s, weight %.0f: not picked by %.3g s of slot time, %.3g s allowed",
                     (int)id, names[a->group], a->weight, world.spent_s, a->due_s);
    }
}

static void run_world(const uint32_t *quotas)
{
    world_init(quotas);
    for (uint64_t i = 0; world.spent_s < end_s * SLOTS; i++) {
        serve();
        disturb();
        if (i % 64 == 0)
            check_due();
    }
    assert_true(world.comebacks > 1000);
    sched_destroy(world.sched);
}

static void test_a_billion_seconds(void **state)
{
    (void)state;
    srandom(14);
    run_world((const uint32_t[GROUPS]){1, 1, 1, 2, 3, 7}); // hundreds of rebases
    run_world((const uint32_t[GROUPS]){1, 1, 3, 100, SCHED_QUOTA_MAX, 7});
    run_world((const uint32_t[GROUPS]){1, 1, 1, 1, 1, 1});
}

// The schedule from the field: everything at weight 1, one task paused and one configured group idle for
// years.
static void test_paused_for_years(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    struct sched_task busy = {.id = 1, .group = "g", .ready = PLENTY}, paused = {.id = 2, .group = "g"},
                      other = {.id = 3, .group = "idle"};
    sched_set_group(s, "g", 1);
    sched_set_group(s, "idle", 1);
    sched_set_task(s, &busy);
    sched_set_task(s, &paused);
    struct sched_pick pick;
    for (int day = 0; day < 100000; day++) {
        assert_int_equal(sched_pick(s, 1, NULL, NULL, &pick, 1), 1);
        sched_used(s, 1, 1, INT64_C(86400000000));
    }
    uint64_t picked[4] = {0};
    paused.ready = other.ready = PLENTY;
    sched_set_task(s, &paused);
    sched_set_task(s, &other);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(sched_pick(s, 1, NULL, NULL, &pick, 1), 1);
        picked[pick.task]++;
        sched_used(s, pick.task, 1, INT64_C(86400000000));
    }
    assert_in_range(picked[1], 40, 60);
    assert_in_range(picked[2], 40, 60);
    assert_in_range(picked[3], 90, 110);
    sched_destroy(s);
}

// Numbers that no honest node sends, and batches of any size.
static void test_extremes(void **state)
{
    (void)state;
    struct sched *s = sched_create();
    struct sched_task a = {.id = 1, .group = "a", .ready = UINT32_MAX},
                      b = {.id = 2, .group = "a", .ready = 5};
    struct sched_pick picks[2];
    sched_set_group(s, "a", 1);
    sched_set_task(s, &a);
    for (int i = 0; i < 50; i++) {
        sched_used(s, 1, 1, INT64_MAX);
        sched_used(s, 1, UINT64_MAX, INT64_MAX);
        sched_used(s, 1, UINT32_MAX, INT64_MIN);
        sched_used(s, 1, 1, INT64_MAX);
        sched_unpick(s, 1, UINT32_MAX, 0);
        assert_int_equal(sched_pick(s, 500, NULL, NULL, picks, 2), 1);
        sched_set_task(s, &a);
    }
    sched_set_task(s, &b); // comes to where the other is: and gets its turn
    assert_true(sched_pick(s, 500, NULL, NULL, picks, 2) >= 1);
    assert_true(picks[0].task == 2 || picks[1].task == 2);
    sched_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_billion_seconds),
        cmocka_unit_test(test_paused_for_years),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
