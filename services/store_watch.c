// SPDX-License-Identifier: Apache-2.0
// store_watch.c: one thread; a line in the log when a store stops to answer, when it answers again, and when
// it says something else than before of how it does (which of several hosts is used).
#include "store_watch.h"

#include "base/log.h"
#include "base/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSE_MS = 1000 };

struct store_watch {
    struct stores *stores;
    struct callbacks *called;
    struct executor *executor; // NULL: none
    struct nrpc_health *health;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t stop;
    bool stopping;
    struct watched {
        bool is_away;
        char said[sizeof((struct nrpc_status *)0)->text]; // while it served
    } state, records, callbacks;                          // the thread's
    bool is_short;                                        // the executor
};

static void note(struct store_watch *w, const char *service, int code, const struct nrpc_status *st,
                 struct watched *was)
{
    bool away = code != NRPC_OK, is_same = away == was->is_away;
    const char *says = away || st->code ? "" : st->text; // it may tell of a failure that was overcome
    if (is_same && (away || !strcmp(says, was->said)))
        return;
    was->is_away = away;
    if (!is_same)
        nrpc_health_set(w->health, service, away ? NRPC_HEALTH_NOT_SERVING : NRPC_HEALTH_SERVING);
    if (away)
        log_warn("%s does not serve: %s", service, st->text);
    else
        log_info("%s serves%s%s%s", service, is_same ? "" : " again", *says ? ": " : "", says);
    if (!away)
        snprintf(was->said, sizeof was->said, "%s", says);
}

// It is logged already.
static void look_at_executor(struct store_watch *w)
{
    struct nrpc_status st;
    bool is_short = executor_check(w->executor, &st) != NRPC_OK;
    if (is_short != w->is_short)
        nrpc_health_set(w->health, "dtf.executor", is_short ? NRPC_HEALTH_NOT_SERVING : NRPC_HEALTH_SERVING);
    w->is_short = is_short;
}

static void look(struct store_watch *w)
{
    struct state *state = w->stores->state;
    struct records *records = w->stores->records;
    struct nrpc_status of_state = {0}, of_records = {0}, of_callbacks = {0};
    (void)tenure_keep(&w->stores->tenure, state, records, &of_state); // what failed the check says, too
    of_state = (struct nrpc_status){0};
    note(w, "dtf.state", state->ops->check(state, &of_state), &of_state, &w->state);
    note(w, "dtf.records", records->ops->check(records, &of_records), &of_records, &w->records);
    note(w, "dtf.callbacks", callbacks_check(w->called, &of_callbacks), &of_callbacks, &w->callbacks);
    if (w->executor)
        look_at_executor(w);
}

static void *run(void *arg)
{
    struct store_watch *w = arg;
    pthread_setname_np(pthread_self(), "store_watch");
    pthread_mutex_lock(&w->mu);
    while (!w->stopping) {
        pthread_mutex_unlock(&w->mu);
        look(w);
        struct timespec until = wait_until(PAUSE_MS);
        pthread_mutex_lock(&w->mu);
        while (!w->stopping && pthread_cond_timedwait(&w->stop, &w->mu, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&w->mu);
    return NULL;
}

struct store_watch *store_watch_start(struct stores *stores, struct callbacks *callbacks,
                                      struct executor *executor, struct nrpc_health *health)
{
    struct store_watch *w = mem_calloc(1, sizeof *w);
    w->stores = stores;
    w->called = callbacks;
    w->executor = executor;
    w->health = health;
    pthread_mutex_init(&w->mu, NULL);
    wait_cond_init(&w->stop);
    nrpc_health_set(health, "dtf.state", NRPC_HEALTH_SERVING); // they were opened just now
    nrpc_health_set(health, "dtf.records", NRPC_HEALTH_SERVING);
    nrpc_health_set(health, "dtf.callbacks", NRPC_HEALTH_SERVING);
    if (executor)
        nrpc_health_set(health, "dtf.executor", NRPC_HEALTH_SERVING);
    if (pthread_create(&w->thread, NULL, run, w))
        abort();
    return w;
}

void store_watch_stop(struct store_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mu);
    w->stopping = true;
    pthread_cond_signal(&w->stop);
    pthread_mutex_unlock(&w->mu);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->mu);
    pthread_cond_destroy(&w->stop);
    free(w);
}
