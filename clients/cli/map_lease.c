// SPDX-License-Identifier: Apache-2.0
// map_lease.c: says it three times within the lease, and sooner again when nobody has heard it.
#include "map_lease.h"

#include "cli.h"

#include <string.h>
#include <time.h>

enum { EVERY_MS = MAP_LEASE_MS / 3, AGAIN_MS = 1000, ANSWER_MS = 5000 };

// False: it is to stop.
static bool pause_for(struct map_lease *l, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    pthread_mutex_lock(&l->mu);
    while (!l->stop && !pthread_cond_timedwait(&l->stopped, &l->mu, &until))
        ;
    bool goes_on = !l->stop;
    pthread_mutex_unlock(&l->mu);
    return goes_on;
}

static void *run(void *arg)
{
    struct map_lease *l = arg;
    struct nrpc_status st;
    bool heard = true;
    while (pause_for(l, heard ? EVERY_MS : AGAIN_MS))
        heard = !cli_is_not_reached(dtf_task_keep(l->client, l->task, ANSWER_MS, &st));
    return NULL;
}

bool map_lease_start(struct map_lease *l, struct dtf_client *client, uint64_t task)
{
    pthread_condattr_t attr;
    *l = (struct map_lease){.client = client, .task = task};
    pthread_mutex_init(&l->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->stopped, &attr);
    pthread_condattr_destroy(&attr);
    int code = pthread_create(&l->thread, NULL, run, l);
    if (code)
        cli_say("cannot start a thread: %s", strerror(code));
    return !code;
}

void map_lease_stop(struct map_lease *l)
{
    pthread_mutex_lock(&l->mu);
    l->stop = true;
    pthread_cond_signal(&l->stopped);
    pthread_mutex_unlock(&l->mu);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->stopped);
    pthread_mutex_destroy(&l->mu);
}
