// SPDX-License-Identifier: Apache-2.0
// gearman_peer.c: no-op jobs through gearmand, as peers.py measures them.
//
//     gearman_peer worker PORT           works until it is killed
//     gearman_peer client PORT JOBS      two threads, batches of 1,000; prints jobs per second
#include "base/clock.h"

#include <libgearman/gearman.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 2, BATCH = 1000 };

struct client {
    in_port_t port;
    long jobs;
};

static void check(gearman_return_t rc, const char *what)
{
    if (rc == GEARMAN_SUCCESS)
        return;
    fprintf(stderr, "gearman_peer: %s: %s\n", what, gearman_strerror(rc));
    exit(1);
}

static void *nothing(gearman_job_st *job, void *user, size_t *size, gearman_return_t *rc)
{
    (void)job;
    (void)user;
    *size = 0;
    *rc = GEARMAN_SUCCESS;
    return NULL;
}

static int work(in_port_t port)
{
    gearman_worker_st *w = gearman_worker_create(NULL);
    check(gearman_worker_add_server(w, "127.0.0.1", port), "server");
    check(gearman_worker_add_function(w, "noop", 0, nothing, NULL), "function");
    while (gearman_worker_work(w) == GEARMAN_SUCCESS)
        ;
    return 1;
}

static void *submit(void *arg)
{
    static const char payload[100];
    const struct client *c = arg;
    gearman_return_t rc;
    gearman_client_st *g = gearman_client_create(NULL);
    check(gearman_client_add_server(g, "127.0.0.1", c->port), "server");
    gearman_client_add_options(g, GEARMAN_CLIENT_FREE_TASKS);
    for (long i = 0; i < c->jobs; i += BATCH) {
        for (int k = 0; k < BATCH; k++) {
            gearman_client_add_task(g, NULL, NULL, "noop", NULL, payload, sizeof payload, &rc);
            check(rc, "add");
        }
        check(gearman_client_run_tasks(g), "run");
    }
    gearman_client_free(g);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    struct client c = {(in_port_t)atoi(argv[2]), argc > 3 ? atol(argv[3]) / CLIENTS : 0};
    if (!strcmp(argv[1], "worker"))
        return work(c.port);
    pthread_t threads[CLIENTS];
    int64_t start_us = clock_mono_us();
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&threads[i], NULL, submit, &c);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    printf("%.0f\n", (double)(c.jobs * CLIENTS) * 1e6 / (double)(clock_mono_us() - start_us));
    return 0;
}
