// SPDX-License-Identifier: Apache-2.0
// generator.h: the role that splits tasks into subtasks.
#ifndef GENERATOR_H
#define GENERATOR_H

#include "env.h"

struct generator;

struct generator *generator_create(const struct env *env);
int64_t generator_step(void *self, int64_t now_ms);
struct loop *generator_loop(struct generator *g);
void generator_hint(struct generator *g, const struct state_hint *hint);
void generator_start(struct generator *g);
void generator_stop(struct generator *g); // ends the callbacks, gives its tasks back
void generator_destroy(struct generator *g);

#endif
