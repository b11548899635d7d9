// SPDX-License-Identifier: Apache-2.0
// place.h: an installation that lasts for many runs: stores, a coordinator that dies and is started again,
// two nodes that live on.
#ifndef TESTS_FAILPOINTS_PLACE_H
#define TESTS_FAILPOINTS_PLACE_H

#include "chaos/program.h"
#include "failpoints/failpoint.h"
#include "servers/servers.h"

enum { PLACE_NODES = 2, PLACE_LEASE_MS = 500, PLACE_PATIENCE_MS = 40000 };

struct place {
    char folder[240], data[260], runs[260], url[280], shared[260];
    const char *mysql_url; // NULL: embedded
    struct server *redis;
    struct program coordinator, nodes[PLACE_NODES];
    struct failpoint *point;
};

// Makes it and starts the nodes. Main thread, like all that starts processes.
void place_open(struct place *p, const char *mysql_url);
void place_close(struct place *p, bool keep_folder);

// Starts a coordinator, without waiting for it; operation below 0: it does not die.
void place_start(struct place *p, int operation, bool is_after, uint32_t call);
bool place_is_ready(const struct place *p);
bool place_has_died(struct place *p); // by its failpoint or otherwise; it is waited for
// Ends it in an orderly way; false: it did not end so.
bool place_end(struct place *p);

// What the state still has of tasks, by names of tables or keys; "" if it has nothing. The embedded one is
// asked while nobody has it open.
void place_leftovers(const struct place *p, char *out, size_t size);

#endif
