// SPDX-License-Identifier: Apache-2.0
// registry.h: the task types that this process knows. Any thread; types are never removed.
#ifndef PLUGIN_REGISTRY_H
#define PLUGIN_REGISTRY_H

#include "dtf.h"

const struct dtf_task_type *registry_find(const char *name); // NULL: unknown
size_t registry_count(void);
const struct dtf_task_type *registry_at(size_t index); // in the order of registration

#endif
