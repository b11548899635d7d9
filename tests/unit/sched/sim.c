// SPDX-License-Identifier: Apache-2.0
// sim.c: fills free slots with what the scheduler picks, jumps to the next end of a run, tells the scheduler
// what it cost.
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void sim_init(struct sim *s, unsigned slots)
{
    memset(s, 0, sizeof *s);
    s->sched = sched_create();
    s->slots = slots;
    for (unsigned i = 0; i < slots; i++)
        s->running[i].task = SIM_TASKS_MAX;
}

void sim_fini(struct sim *s)
{
    sched_destroy(s->sched);
}

size_t sim_add(struct sim *s, const char *group, uint32_t priority, uint64_t subtasks, int64_t cost_us)
{
    size_t i = s->task_count++;
    s->tasks[i] = (struct sim_task){
        .view = {.id = i + 1, .group = group, .priority = priority, .ready = subtasks},
        .cost_us = cost_us,
        .left = subtasks,
        .first_pick_us = -1,
    };
    sched_set_task(s->sched, &s->tasks[i].view);
    return i;
}

void sim_add_subtasks(struct sim *s, size_t task, uint64_t subtasks)
{
    struct sim_task *t = &s->tasks[task];
    t->left += subtasks;
    t->view.ready = t->left;
    sched_set_task(s->sched, &t->view);
}

static void begin(struct sim *s, size_t task)
{
    struct sim_task *t = &s->tasks[task];
    unsigned slot = 0;
    while (s->running[slot].task != SIM_TASKS_MAX)
        slot++;
    int64_t run_us = t->cost_us / 2 + random() % (t->cost_us + 1);
    s->running[slot].task = task;
    s->running[slot].run_us = run_us < 1 ? 1 : run_us;
    s->running[slot].end_us = s->now_us + s->running[slot].run_us;
}

static unsigned free_slots(const struct sim *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->slots; i++)
        n += s->running[i].task == SIM_TASKS_MAX;
    return n;
}

static void take(struct sim *s, const struct sched_pick *pick)
{
    struct sim_task *t = &s->tasks[pick->task - 1];
    assert_in_range(pick->count, 1, t->left);
    if (t->first_pick_us < 0)
        t->first_pick_us = s->now_us;
    t->left -= pick->count;
    t->picked += pick->count;
    t->view.ready -= pick->count;
    t->view.running += pick->count;
    if (t->view.running > t->most_running)
        t->most_running = t->view.running;
    for (uint32_t i = 0; i < pick->count; i++)
        begin(s, pick->task - 1);
}

static void fill(struct sim *s)
{
    struct sched_pick picks[SIM_SLOTS_MAX];
    unsigned want = free_slots(s);
    if (!want)
        return;
    size_t n = sched_pick(s->sched, want, NULL, NULL, picks, SIM_SLOTS_MAX);
    uint32_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += picks[i].count;
        take(s, &picks[i]);
    }
    assert_in_range(total, 0, want);
}

static void settle(struct sim *s, unsigned slot)
{
    struct sim_task *t = &s->tasks[s->running[slot].task];
    int64_t run_us = s->running[slot].run_us;
    s->running[slot].task = SIM_TASKS_MAX;
    t->used_us += run_us;
    t->settled++;
    t->view.running--;
    sched_used(s->sched, t->view.id, 1, run_us);
    sched_set_task(s->sched, &t->view);
    if (!t->left && !t->view.running)
        sched_remove_task(s->sched, t->view.id);
}

// The slot whose run ends first; SIM_SLOTS_MAX: none runs.
static unsigned first_to_end(const struct sim *s)
{
    unsigned first = SIM_SLOTS_MAX;
    for (unsigned i = 0; i < s->slots; i++)
        if (s->running[i].task != SIM_TASKS_MAX &&
            (first == SIM_SLOTS_MAX || s->running[i].end_us < s->running[first].end_us))
            first = i;
    return first;
}

void sim_run(struct sim *s, int64_t until_us)
{
    for (;;) {
        fill(s);
        unsigned slot = first_to_end(s);
        if (slot == SIM_SLOTS_MAX || s->running[slot].end_us > until_us)
            break;
        s->now_us = s->running[slot].end_us;
        settle(s, slot);
    }
}

int64_t sim_used(const struct sim *s, const char *group)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->task_count; i++)
        if (!strcmp(s->tasks[i].view.group, group))
            sum += s->tasks[i].used_us;
    return sum;
}
