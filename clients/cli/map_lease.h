// SPDX-License-Identifier: Apache-2.0
// map_lease.h: the thread that tells the server that the program is there: a task ends with it.
//
// A thread of its own, since all others may have to wait: for input, for the reader of the output, for the
// server.
#ifndef CLI_MAP_LEASE_H
#define CLI_MAP_LEASE_H

#include "dtf.h"

#include <pthread.h>

enum { MAP_LEASE_MS = 30000 }; // how long it may say nothing

struct map_lease {
    struct dtf_client *client;
    uint64_t task;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t stopped;
    bool stop;
};

// False with a message on stderr.
bool map_lease_start(struct map_lease *l, struct dtf_client *client, uint64_t task);
void map_lease_stop(struct map_lease *l);

#endif
