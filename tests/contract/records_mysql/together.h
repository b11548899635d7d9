// SPDX-License-Identifier: Apache-2.0
// together.h: several callers and processes on one MySQL record store.
#ifndef TESTS_RECORDS_TOGETHER_H
#define TESTS_RECORDS_TOGETHER_H

#include "servers/servers.h"

// On one server, or on the nodes of a cluster. The number of tests that failed.
int together_run(struct server *const *all, size_t count);

#endif
