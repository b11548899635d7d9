// SPDX-License-Identifier: Apache-2.0
// plan.h: which runs there are to be: one for each operation, phase and call; and what some operations need
// to happen at all. The test and its workers share it in a file.
#ifndef TESTS_FAILPOINTS_PLAN_H
#define TESTS_FAILPOINTS_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job_kind;

// What a run does beside the usual, so that an operation is called.
struct special {
    const char *operation;
    const char *died_before, *died_after; // a coordinator died here just before, or NULL
    const struct job_kind *job;           // one more task; NULL: none
    bool crashes;                         // that task's callbacks end the coordinator
    bool moves_records;                   // export, then import of the same
    bool restarts_redis;
    bool empties_redis; // before it begins: nothing is under way
    bool cluster_only;
};
enum { SPECIALS = 12, RUNS_MAX = 600, PLAN_OPERATIONS_MAX = 128 };
extern const struct special plan_specials[SPECIALS];

enum plan_stage { PLAN_COUNTS, PLAN_KILLS, PLAN_IS_OVER };

struct plan_run {
    int operation; // below 0: nobody dies, calls are counted
    bool is_after;
    uint32_t call;
    int special; // an index; below 0: none
};

struct plan {
    struct plan_run runs[RUNS_MAX];
    size_t count;
    unsigned seed;
    _Atomic size_t next;    // the run that the next worker takes
    _Atomic unsigned stage; // enum plan_stage
    _Atomic unsigned idle;  // workers that have found no run left of this stage
    _Atomic unsigned failed;
    // Of each operation by one process, in the runs that count: in one that does what it needs, the fewest.
    _Atomic uint32_t calls[PLAN_OPERATIONS_MAX];
};

int plan_operation(const char *name);
const char *plan_name(int operation);
void plan_counting(struct plan *p, bool cluster); // a run for each special, and two without
void plan_count(struct plan *p, const struct plan_run *run, const uint32_t *calls); // what such a run saw
// From what was counted. all: the first four calls of each operation; otherwise the first or the fourth, by
// the seed. Returns how many operations were not called and should have been, or the other way round, after
// saying which.
unsigned plan_dying(struct plan *p, bool cluster, bool all);

#endif
