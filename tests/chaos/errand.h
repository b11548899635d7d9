// SPDX-License-Identifier: Apache-2.0
// errand.h: the parameters of the errand task types, and what each of their runs writes down.
#ifndef TESTS_CHAOS_ERRAND_H
#define TESTS_CHAOS_ERRAND_H

#include <stdint.h>

enum { ERRAND_PAD_MAX = 250000 };
enum { ERRAND_FOLLOWUP = 1000000, ERRAND_HANG_MS = 100 };
#define ERRAND_RUNS                                                                                          \
    "ERRAND_RUNS" // environment: the folder where each node writes its file of struct errand_run

// Of every subtask; 0: never. What is a multiple of several does the first of these.
struct errand_shape {
    uint32_t hang_every;  // runs until its timeout, which is ERRAND_HANG_MS
    uint32_t fail_every;  // fails each time
    uint32_t flaky_every; // fails at its first attempt
    uint32_t
        followup_every; // adds a follow-up when it has succeeded, with ERRAND_FOLLOWUP added to its index
    uint32_t run_us;    // it takes up to that long
    uint32_t pad_bytes; // more of a parameter, all with the same value, which depends on the index
    // Of the types that have such callbacks:
    uint32_t decline_every; // before_dispatch declines its first attempt
    uint32_t review_ms;     // after_execution takes so long with the first subtask
    uint32_t close_ms;      // after_task_completed takes so long
};

struct errand_param {
    uint64_t count; // subtasks 1..count
    struct errand_shape shape;
    uint32_t last_ms; // the last one is not made earlier than so long after its generator began
};

struct errand_subtask {
    uint64_t index;
    struct errand_shape shape;
};

enum { ERRAND_COMPLETED = 2000000 }; // as an index: after_task_completed returns
enum { ERRAND_WRONG = 1000 };        // as a code: what it was given was another subtask's

struct errand_run { // one that came to its end
    uint64_t task, seq, index;
    int64_t start_us; // on the monotonic clock
    uint32_t attempt, code;
};

#endif
