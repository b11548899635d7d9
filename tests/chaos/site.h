// SPDX-License-Identifier: Apache-2.0
// site.h: a whole cluster of real processes, with a link of ours in every connection between them: Redis
// shards, MariaDB, coordinators, nodes, clients.
//
// The folder of a site holds its logs and what its nodes wrote down (errand.h). Main thread only, but for
// looking at it.
#ifndef TESTS_CHAOS_SITE_H
#define TESTS_CHAOS_SITE_H

#include "chaos/link.h"
#include "chaos/program.h"
#include "servers/servers.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { SITE_SHARDS = 2, SITE_COORDINATORS = 3, SITE_NODES = 4, SITE_START_MS = 30000 };

struct site_options {
    unsigned shards, coordinators, nodes;
    // "NAME=value" entries, separated by spaces; NULL: none. For the coordinators and nodes in these masks,
    // and the Redis shards.
    const char *environment;
    unsigned environment_coordinators, environment_nodes;
    bool environment_redis;
    unsigned redis_disk_mib; // of each Redis (servers.h); 0: where there is room
};

// Of the environment that sets clocks (skew.c): the file that says how far, and the environment's text.
bool site_clock(time_t **ahead_s, char *environment, size_t size);

struct site {
    struct site_options options;
    char folder[240], runs[260];
    struct server *redis[SITE_SHARDS], *mariadb; // mariadb is not the site's own
    struct program coordinators[SITE_COORDINATORS], nodes[SITE_NODES];
    uint16_t ports[SITE_COORDINATORS];
    struct link *to_redis[SITE_COORDINATORS][SITE_SHARDS], *to_mysql[SITE_COORDINATORS];
    struct link *to_coordinator[SITE_NODES][SITE_COORDINATORS], *from_clients[SITE_COORDINATORS];
    char client_urls[200]; // of all coordinators, through the links
    time_t *ahead_s;       // how far the clocks that the environment sets are ahead; NULL: none are
};

// Makes all of it and waits until it is ready. The database is emptied first. false: something did not start.
bool site_start(struct site *s, const struct site_options *o, struct server *mariadb);
void site_stop(struct site *s, bool keep_folder); // kills what runs

void site_start_coordinator(struct site *s, unsigned i); // does not wait
void site_start_node(struct site *s, unsigned i);
bool site_is_ready(const struct site *s); // all processes have started, whether or not they run
void site_url(const struct site *s, unsigned coordinator, bool through_link, char *out, size_t size);

// Keys that no task is to leave behind, and keys with a time to live; "" if there are none, or the server
// does not answer.
void site_leftovers(const struct server *redis, char *out, size_t size);

#endif
