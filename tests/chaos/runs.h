// SPDX-License-Identifier: Apache-2.0
// runs.h: what the nodes of a site wrote down: all runs of all subtasks.
#ifndef TESTS_CHAOS_RUNS_H
#define TESTS_CHAOS_RUNS_H

#include "chaos/errand.h"

#include <stddef.h>

struct runs {
    struct errand_run *list; // by task, then index, then start
    size_t count, capacity;
};

void runs_read(struct runs *r, const char *folder);
void runs_fini(struct runs *r);
// Those of one task: *count of them.
const struct errand_run *runs_of(const struct runs *r, uint64_t task, size_t *count);

#endif
