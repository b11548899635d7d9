// SPDX-License-Identifier: Apache-2.0
// sim.h: a number of slots that never idle, tasks with subtasks of known costs, and a clock that jumps: who
// got how much?
#ifndef TESTS_SCHED_SIM_H
#define TESTS_SCHED_SIM_H

#include "sched/sched.h"

enum { SIM_TASKS_MAX = 10000, SIM_SLOTS_MAX = 64 };

struct sim_task {
    struct sched_task view; // as the scheduler sees it
    int64_t cost_us;        // of a subtask; each run takes between half and one and a half of it
    uint64_t left;          // subtasks not picked yet
    uint64_t picked, settled, most_running;
    int64_t used_us;       // slot time of settled runs
    int64_t first_pick_us; // -1: never picked
};

struct sim {
    struct sched *sched;
    struct sim_task tasks[SIM_TASKS_MAX]; // task i has the id i + 1
    size_t task_count;
    unsigned slots;
    struct {
        int64_t end_us, run_us;
        size_t task; // SIM_TASKS_MAX: idle
    } running[SIM_SLOTS_MAX];
    int64_t now_us;
};

void sim_init(struct sim *s, unsigned slots);
void sim_fini(struct sim *s);
// Adds a task with so many subtasks; returns its index.
size_t sim_add(struct sim *s, const char *group, uint32_t priority, uint64_t subtasks, int64_t cost_us);
void sim_add_subtasks(struct sim *s, size_t task, uint64_t subtasks);
// Runs until the time has come, or nothing is left to do.
void sim_run(struct sim *s, int64_t until_us);
// The slot time of a group's tasks so far.
int64_t sim_used(const struct sim *s, const char *group);

#endif
