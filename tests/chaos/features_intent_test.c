// SPDX-License-Identifier: Apache-2.0
// features_intent_test.c: what was acknowledged reaches whom it concerns, whichever coordinator dies in the
// middle of it: a cancel, and a timeout, a node that is between two coordinators; a creation the state.
#include "chaos/errand.h"
#include "chaos/runs.h"
#include "chaos/site.h"
#include "chaos/wait.h"
#include "dtf.h"

#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30000, LONG_US = 25000000, TOLD_MS = 8000, FEEDER_LEASE_MS = 5000 };

static struct server *mariadb;
static struct site site;
static struct dtf_client *clients[2]; // to each coordinator

static int start(void **state)
{
    (void)state;
    const struct site_options o = {.shards = 1, .coordinators = 2, .nodes = 2};
    struct nrpc_status st;
    mariadb = server_mariadb(NULL);
    assert_true(site_start(&site, &o, mariadb));
    for (unsigned i = 0; i < 2; i++) {
        char url[60];
        site_url(&site, i, false, url, sizeof url);
        assert_int_equal(dtf_client_open(url, &clients[i], &st), NRPC_OK);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        dtf_client_close(clients[i]);
    site_stop(&site, false);
    server_destroy(mariadb);
    return 0;
}

static int create(unsigned at, const char *key, uint64_t count, uint32_t run_us, int64_t timeout_ms,
                  uint64_t *task, struct nrpc_status *st)
{
    // run_us of an errand is what its longest subtasks take: those with an index of 6, 13, 20 ...
    const struct errand_param param = {.count = count, .shape = {.run_us = run_us}};
    const struct dtf_task_param p = {.type = "errand",
                                     .type_param = &param,
                                     .type_param_bytes = sizeof param,
                                     .idempotency_key = key,
                                     .timeout_ms = timeout_ms};
    return dtf_task_create(clients[at], &p, task, st);
}

static struct dtf_task_info status(unsigned at, uint64_t task)
{
    struct dtf_task_info t = {0};
    struct nrpc_status st;
    (void)dtf_task_status(clients[at], task, &t, &st);
    return t;
}

static void restart(unsigned i)
{
    site_start_coordinator(&site, i);
    WAIT_FOR_MS(program_said(&site.coordinators[i], "ready\n"), PATIENCE_MS);
}

// One of the two coordinators dies, and with it the way to the nodes that talked to it; the other is told to
// cancel immediately. Which one that is does not matter: both are tried.
static void a_cancel_reaches_nodes_between_coordinators(void **state)
{
    (void)state;
    for (unsigned dies = 0; dies < 2; dies++) {
        struct nrpc_status st;
        uint64_t task;
        unsigned stays = 1 - dies;
        assert_int_equal(create(stays, NULL, 8, LONG_US, 600000, &task, &st), NRPC_OK);
        WAIT_FOR_MS(status(stays, task).running == 8, PATIENCE_MS);
        (void)program_end(&site.coordinators[dies], SIGKILL);
        assert_int_equal(dtf_task_cancel(clients[stays], task, "", &st), NRPC_OK);
        WAIT_FOR_MS(status(stays, task).status == DTF_TASK_CANCELLED, TOLD_MS);
        restart(dies);
    }
}

// Likewise when the task's time is up just then.
static void a_timeout_reaches_nodes_between_coordinators(void **state)
{
    (void)state;
    for (unsigned dies = 0; dies < 2; dies++) {
        struct nrpc_status st;
        uint64_t task;
        unsigned stays = 1 - dies;
        assert_int_equal(create(stays, NULL, 8, LONG_US, 1500, &task, &st), NRPC_OK);
        WAIT_FOR_MS(status(stays, task).running == 8, PATIENCE_MS);
        (void)program_end(&site.coordinators[dies], SIGKILL);
        WAIT_FOR_MS(status(stays, task).status == DTF_TASK_TIMED_OUT, TOLD_MS);
        restart(dies);
    }
}

struct creation {
    char key[40];
    uint64_t task;
    struct nrpc_status st;
};

static void *create_at_first(void *arg)
{
    struct creation *c = arg;
    (void)create(0, c->key, 10, 1000, 600000, &c->task, &c->st);
    return NULL;
}

// A coordinator dies when it has recorded a task and not yet told the state, which it cannot reach for a
// moment; the other one leads. Who asks that one for the task, under its key, gets it run.
static void a_creation_that_was_only_recorded(void **state)
{
    (void)state;
    (void)program_end(&site.coordinators[0], SIGKILL); // the other one leads from now on
    restart(0);
    for (int round = 0; round < 3; round++) {
        struct creation c = {0};
        struct nrpc_status st;
        pthread_t thread;
        uint64_t task;
        snprintf(c.key, sizeof c.key, "only recorded %d", round);
        link_set(site.to_redis[0][0], LINK_STALLED_TO);
        assert_int_equal(pthread_create(&thread, NULL, create_at_first, &c), 0);
        (void)poll(NULL, 0, 150 + 50 * round); // recorded by then; whether or not, the rest must hold
        (void)program_end(&site.coordinators[0], SIGKILL);
        link_set(site.to_redis[0][0], LINK_OPEN);
        pthread_join(thread, NULL);
        int64_t since_us = clock_mono_us();
        assert_int_equal(create(1, c.key, 10, 1000, 600000, &task, &st), NRPC_OK);
        WAIT_FOR_MS(status(1, task).status == DTF_TASK_COMPLETED, TOLD_MS);
        print_message("completed after %lld ms\n", (long long)(clock_mono_us() - since_us) / 1000);
        restart(0);
    }
}

// Tells one coordinator for a while that the feeder is there.
static void keep(unsigned at, uint64_t task, int64_t ms)
{
    struct nrpc_status st;
    for (int64_t until_us = clock_mono_us() + ms * 1000; clock_mono_us() < until_us; (void)poll(NULL, 0, 500))
        (void)dtf_task_keep(clients[at], task, 1000, &st);
}

// Whichever coordinator hears of a feeder, whichever leads, and though that one dies: its task goes on until
// it has been silent for its lease.
static void a_feeder_is_heard_of_by_any(void **state)
{
    (void)state;
    for (unsigned dies = 0; dies < 2; dies++) {
        struct nrpc_status st;
        uint64_t task;
        unsigned stays = 1 - dies;
        const struct dtf_task_param p = {.type = "command", .fed = true, .feeder_lease_ms = FEEDER_LEASE_MS};
        assert_int_equal(dtf_task_create(clients[stays], &p, &task, &st), NRPC_OK);
        keep(stays, task, FEEDER_LEASE_MS + 2000);
        (void)program_end(&site.coordinators[dies], SIGKILL);
        keep(stays, task, FEEDER_LEASE_MS + 2000);
        assert_int_equal(status(stays, task).status, DTF_TASK_RUNNING);
        WAIT_FOR_MS(status(stays, task).status == DTF_TASK_CANCELLED, FEEDER_LEASE_MS + TOLD_MS);
        assert_string_equal(status(stays, task).message, "its feeder has not been heard of for 5 s");
        restart(dies);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancel_reaches_nodes_between_coordinators),
        cmocka_unit_test(a_timeout_reaches_nodes_between_coordinators),
        cmocka_unit_test(a_creation_that_was_only_recorded),
        cmocka_unit_test(a_feeder_is_heard_of_by_any),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
