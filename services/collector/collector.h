// SPDX-License-Identifier: Apache-2.0
// collector.h: the role that settles results and gives them to the plugins' collector callbacks.
#ifndef COLLECTOR_H
#define COLLECTOR_H

#include "env.h"

struct collector;

struct collector *collector_create(const struct env *env);
int64_t collector_step(void *self, int64_t now_ms);
struct loop *collector_loop(struct collector *c);
void collector_hint(struct collector *c, const struct state_hint *hint);
void collector_start(struct collector *c);
void collector_stop(struct collector *c);    // answers what waits UNAVAILABLE: its results will be repeated
void collector_destroy(struct collector *c); // and what came after the stop

// Settles the exchange's results, then passes it on to env->offer; any thread.
void collector_take(struct collector *c, struct exchange *x);

#endif
