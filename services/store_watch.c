// SPDX-License-Identifier: Apache-2.0
// store_watch.c: one thread; a line in the log when a store stops to answer, and when it answers again.
#include "store_watch.h"

#include "base/log.h"
#include "base/wait.h"

#include <stdlib.h>

enum { PAUSE_MS = 1000 };

struct store_watch {
    const struct stores *stores;
    struct callbacks *callbacks;
    struct nrpc_health *health;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t stop;
    bool stopping;
    bool state_is_away, records_are_away, is_stuck; // the thread's
};

static void note(struct store_watch *w, const char *service, int code, const struct nrpc_status *st,
                 bool *is_away)
{
    bool away = code != NRPC_OK;
    if (away == *is_away)
        return;
    *is_away = away;
    nrpc_health_set(w->health, service, away ? NRPC_HEALTH_NOT_SERVING : NRPC_HEALTH_SERVING);
    if (away)
        log_warn("%s does not serve: %s", service, st->text);
    else
        log_info("%s serves again", service);
}

static void look(struct store_watch *w)
{
    struct state *state = w->stores->state;
    struct records *records = w->stores->records;
    struct nrpc_status st;
    note(w, "dtf.state", state->ops->check(state, &st), &st, &w->state_is_away);
    note(w, "dtf.records", records->ops->check(records, &st), &st, &w->records_are_away);
    note(w, "dtf.callbacks", callbacks_check(w->callbacks, &st), &st, &w->is_stuck);
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

struct store_watch *store_watch_start(const struct stores *stores, struct callbacks *callbacks,
                                      struct nrpc_health *health)
{
    struct store_watch *w = mem_calloc(1, sizeof *w);
    w->stores = stores;
    w->callbacks = callbacks;
    w->health = health;
    pthread_mutex_init(&w->mu, NULL);
    wait_cond_init(&w->stop);
    nrpc_health_set(health, "dtf.state", NRPC_HEALTH_SERVING); // they were opened just now
    nrpc_health_set(health, "dtf.records", NRPC_HEALTH_SERVING);
    nrpc_health_set(health, "dtf.callbacks", NRPC_HEALTH_SERVING);
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
