// SPDX-License-Identifier: Apache-2.0
// check.h: after a round: whether every guarantee was kept, by what a fresh client is told, by the database,
// by Redis, and by what the nodes wrote down.
#ifndef TESTS_CHAOS_CHECK_H
#define TESTS_CHAOS_CHECK_H

#include "chaos/faults.h"
#include "chaos/work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How far each task had got in the records just before a fault that loses state; made 0 if it is not known.
struct check_points {
    struct {
        uint64_t task, made;
    } points[JOBS_MAX];
    size_t count;
};

struct check {
    const struct site *site;
    const struct faults *faults;
    struct work *work;
    struct check_points before[FAULTS_MAX]; // of faults->list[i]
    int64_t
        healed_us; // when what was done beside the faults was healed, on the monotonic clock; 0: nothing was
    bool may_repeat_results; // the state began anew: what was read, and not acknowledged, comes again
    // out
    uint64_t runs, subtasks; // runs of all subtasks, and how many of these there are
    char trouble[4000];      // a line each; empty: all is well
};

void check_note_points(struct check *c, size_t fault); // before that fault
void check_all(struct check *c);

// The parts of it that look at no site.
void check_jobs(struct check *c, struct dtf_client *client, const char *runs_folder);
struct check_history {
    uint64_t sequence;        // the last one
    int status[JOBS_MAX + 1]; // of each job's task, and of all others; 0: no event yet
};
void check_event(struct check *c, struct check_history *h, uint64_t sequence, uint64_t task, int status);
void check_last_events(struct check *c, const struct check_history *h);

__attribute__((format(printf, 2, 3))) void check_say(struct check *c, const char *format, ...); // a trouble

#endif
