// SPDX-License-Identifier: Apache-2.0
// work.h: the tasks of a round: one of each kind, each with a thread that creates it, does to it what its
// kind says, and waits for its end. Calls that find nobody are made again.
#ifndef TESTS_CHAOS_WORK_H
#define TESTS_CHAOS_WORK_H

#include "chaos/errand.h"
#include "dtf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOBS_MAX = 16 };

struct job;

struct job_kind {
    const char *name, *type;
    uint64_t least, most; // subtasks
    struct errand_shape shape;
    uint32_t max_retries, max_running;
    int64_t tolerated, timeout_ms;
    bool fed, keep_results;
    void (*act)(struct job *j); // NULL: nothing but creating it
    int outcome;                // if nothing else happened to it; 0: completed
    int64_t act_ms;   // how long after the creation it is done, or after a part of it; 0: up to 1.5 s
    uint32_t last_ms; // errand_param's
};

extern const struct job_kind chaos_kinds[];
extern const size_t chaos_kind_count;

// What may be done to a task.
void job_create_twice(struct job *j); // asks every server for it again
void job_feed(struct job *j);
void job_cancel(struct job *j);
void job_pause_and_resume(struct job *j);
void job_read_results(struct job *j);

struct job {
    const struct job_kind *kind;
    struct work *work;
    pthread_t thread;
    struct errand_param param;
    char key[60];
    int64_t act_ms;                         // how long after the creation it is done
    uint64_t task;                          // 0: the creation was not acknowledged
    int64_t cancelled_us;                   // when the cancel was acknowledged
    bool cancel_acknowledged, results_lost; // results_lost: as the reader was told
    struct dtf_task_info info;              // at its end
    int64_t ended_us;                       // when the client knew
    _Atomic bool is_done;                   // its thread has nothing left to do
    uint32_t *seen;                         // of a reader: how often each subtask's result came
    char trouble[400];                      // what went wrong; empty: nothing
};

struct work {
    char urls[300]; // of all servers, separated by commas
    struct dtf_client *client;
    int64_t until_us; // when waiting ends, on the monotonic clock
    struct job jobs[JOBS_MAX];
    size_t count;
};

struct work_plan {
    const struct job_kind *kinds;
    size_t count;
    const char *urls;
    unsigned seed; // makes the idempotency keys
    int64_t patience_ms;
};

void work_start(struct work *w, const struct work_plan *plan); // numbers and times are from random()
bool work_is_done(const struct work *w);                       // work_join would not wait
void work_join(struct work *w);
const char *work_last_to_end(const struct work *w); // that job's name
void work_fini(struct work *w);

__attribute__((format(printf, 2, 3))) void job_trouble(struct job *j, const char *format, ...);

#endif
