// SPDX-License-Identifier: Apache-2.0
// visits.h: a thread that asks for all that the tasks of a run do not ask for: groups, listings, events,
// nodes that come and go; each some times, and again until there is an answer.
#ifndef TESTS_FAILPOINTS_VISITS_H
#define TESTS_FAILPOINTS_VISITS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct visits {
    const char *url;
    int64_t until_us; // on the monotonic clock
    pthread_t thread;
    _Atomic bool is_done;
    char trouble[300]; // "" if all were answered
};

void visits_start(struct visits *v, const char *url, int64_t patience_ms);
void visits_join(struct visits *v);

#endif
