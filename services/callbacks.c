// SPDX-License-Identifier: Apache-2.0
// callbacks.c: a list; few run at a time.
#include "callbacks.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

void callbacks_init(struct callbacks *c)
{
    pthread_mutex_init(&c->mu, NULL);
    atomic_init(&c->quit, false);
    c->crash = NULL;
    c->runs = NULL;
    c->last = &c->runs;
}

void callbacks_fini(struct callbacks *c)
{
    pthread_mutex_destroy(&c->mu);
}

void callbacks_begin(struct callbacks *c, struct callback_run *r, uint64_t task, const char *name)
{
    *r = (struct callback_run){.task = task, .name = name, .since_us = clock_mono_us()};
    pthread_mutex_lock(&c->mu);
    r->prev = c->last;
    *c->last = r;
    c->last = &r->next;
    pthread_mutex_unlock(&c->mu);
    crash_enter(c->crash, r);
}

void callbacks_end(struct callbacks *c, struct callback_run *r)
{
    crash_leave();
    pthread_mutex_lock(&c->mu);
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        c->last = r->prev;
    bool said = r->said;
    pthread_mutex_unlock(&c->mu);
    if (said)
        log_info("task %llu: its %s has returned, after %lld s", (unsigned long long)r->task, r->name,
                 (long long)((clock_mono_us() - r->since_us) / 1000000));
}

static int64_t age_ms(const struct callback_run *r)
{
    return (clock_mono_us() - r->since_us) / 1000;
}

static void describe(const struct callback_run *r, char *text, size_t size)
{
    snprintf(text, size, "its %s has not returned for %lld s", r->name, (long long)(age_ms(r) / 1000));
}

int64_t callbacks_stuck_ms(struct callbacks *c, uint64_t task, char *text, size_t size)
{
    int64_t stuck_ms = 0;
    pthread_mutex_lock(&c->mu);
    for (const struct callback_run *r = c->runs; r && age_ms(r) >= CALLBACKS_STUCK_MS && !stuck_ms;
         r = r->next)
        if (r->task == task) {
            stuck_ms = age_ms(r);
            if (text)
                describe(r, text, size);
        }
    pthread_mutex_unlock(&c->mu);
    return stuck_ms;
}

int callbacks_check(struct callbacks *c, struct nrpc_status *st)
{
    char text[120];
    st->code = NRPC_OK;
    pthread_mutex_lock(&c->mu);
    for (struct callback_run *r = c->runs; r && age_ms(r) >= CALLBACKS_STUCK_MS; r = r->next) {
        describe(r, text, sizeof text);
        if (st->code == NRPC_OK)
            status_set(st, NRPC_UNAVAILABLE, "task %llu: %s", (unsigned long long)r->task, text);
        if (!r->said)
            log_warn("task %llu: %s", (unsigned long long)r->task, text);
        r->said = true;
    }
    pthread_mutex_unlock(&c->mu);
    return st->code;
}

bool callbacks_oldest(struct callbacks *c, char *text, size_t size)
{
    char what[120];
    pthread_mutex_lock(&c->mu);
    const struct callback_run *r = c->runs;
    if (r) {
        describe(r, what, sizeof what);
        snprintf(text, size, "task %llu: %s", (unsigned long long)r->task, what);
    }
    pthread_mutex_unlock(&c->mu);
    return r;
}
