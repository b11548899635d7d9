// SPDX-License-Identifier: Apache-2.0
// loop.c: the thread around a step function, and its inbox.
#include "base/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void loop_init(struct loop *l, const char *name, int64_t (*step)(void *self, int64_t now_ms), void *self)
{
    *l = (struct loop){.name = name, .step = step, .self = self};
    l->tail = &l->head;
    pthread_mutex_init(&l->mu, NULL);
    wait_cond_init(&l->cond);
}

// Waits until woken or until the wall-clock time next_ms; false: the loop is to end.
static bool wait_for(struct loop *l, int64_t next_ms)
{
    int64_t wait_ms = next_ms == CLOCK_NEVER ? CLOCK_NEVER : next_ms - clock_now_ms();
    struct timespec until = wait_until(wait_ms == CLOCK_NEVER ? 0 : wait_ms);
    pthread_mutex_lock(&l->mu);
    int rv = 0;
    while (!l->woken && !l->stopping && rv == 0 && wait_ms > 0)
        rv = wait_ms == CLOCK_NEVER ? pthread_cond_wait(&l->cond, &l->mu)
                                    : pthread_cond_timedwait(&l->cond, &l->mu, &until);
    l->woken = false;
    bool go_on = !l->stopping;
    pthread_mutex_unlock(&l->mu);
    return go_on;
}

static void *thread_main(void *arg)
{
    struct loop *l = arg;
    pthread_setname_np(pthread_self(), l->name);
    int64_t next_ms = 0;
    while (wait_for(l, next_ms))
        next_ms = l->step(l->self, clock_now_ms());
    return NULL;
}

void loop_start(struct loop *l)
{
    int rv = pthread_create(&l->thread, NULL, thread_main, l);
    if (rv) { // a role that does not run would be a process that seems well and does nothing
        log_error("cannot start the thread %s: %s", l->name, strerror(rv));
        abort();
    }
    l->running = true;
}

void loop_stop(struct loop *l)
{
    pthread_mutex_lock(&l->mu);
    l->stopping = true;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mu);
    if (l->running)
        pthread_join(l->thread, NULL);
    l->running = false;
}

void loop_fini(struct loop *l)
{
    pthread_mutex_destroy(&l->mu);
    pthread_cond_destroy(&l->cond);
}

void loop_post(struct loop *l, struct mail *m)
{
    m->next = NULL;
    pthread_mutex_lock(&l->mu);
    *l->tail = m;
    l->tail = &m->next;
    bool wake = !l->woken;
    l->woken = true;
    if (wake)
        pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mu);
}

void loop_wake(struct loop *l)
{
    pthread_mutex_lock(&l->mu);
    if (!l->woken) {
        l->woken = true;
        pthread_cond_signal(&l->cond);
    }
    pthread_mutex_unlock(&l->mu);
}

bool loop_was_woken(struct loop *l)
{
    pthread_mutex_lock(&l->mu);
    bool was = l->woken;
    l->woken = false;
    pthread_mutex_unlock(&l->mu);
    return was;
}

struct mail *loop_take(struct loop *l)
{
    pthread_mutex_lock(&l->mu);
    struct mail *all = l->head;
    l->head = NULL;
    l->tail = &l->head;
    pthread_mutex_unlock(&l->mu);
    return all;
}
