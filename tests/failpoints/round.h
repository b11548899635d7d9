// SPDX-License-Identifier: Apache-2.0
// round.h: one run: a coordinator dies where the plan says, another goes on, everything ends, all is checked.
#ifndef TESTS_FAILPOINTS_ROUND_H
#define TESTS_FAILPOINTS_ROUND_H

#include "failpoints/place.h"
#include "failpoints/plan.h"

struct rounds { // of one place, one after the other
    struct place place;
    unsigned seed, done;
    uint64_t last_event, last_task; // of those before
};

// false: something was wrong, and was said. A run that counts adds to plan->calls.
bool round_run(struct rounds *r, const struct plan_run *run, struct plan *plan);

#endif
