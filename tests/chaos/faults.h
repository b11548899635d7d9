// SPDX-License-Identifier: Apache-2.0
// faults.h: what is done to a site: a plan, made from random(), of faults that begin and are healed.
#ifndef TESTS_CHAOS_FAULTS_H
#define TESTS_CHAOS_FAULTS_H

#include "chaos/site.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAULTS_MAX = 5 };

struct fault_kind;

struct fault {
    const struct fault_kind *kind;
    unsigned target, other;      // other: what else the kind wants to know, such as a shard
    int64_t at_ms, for_ms;       // after the start; as planned
    int64_t begun_us, healed_us; // as it was, on the monotonic clock; 0: not yet
};

struct faults {
    struct fault list[FAULTS_MAX];
    size_t count;
};

void faults_plan(struct faults *f, const struct site_options *o, int64_t length_ms);
bool fault_loses_state(const struct fault *f);                       // what Redis had may be gone
bool fault_brings_back(const struct fault *f);                       // and what it had once is there again
size_t faults_print(const struct faults *f, char *out, size_t size); // in one line

// Does it all, in time: main thread. `before` is called before what loses state. When it returns everything
// is healed and runs.
void faults_do(struct faults *f, struct site *s, void (*before)(void *user, size_t fault), void *user);

#endif
