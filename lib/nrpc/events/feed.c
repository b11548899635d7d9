// SPDX-License-Identifier: Apache-2.0
// feed.c: a subscription, and the queue behind it.
#include "nrpc/events/feed.h"

#include "base/mem.h"
#include "nrpc/sp.h"
#include "nrpc/transport.h"

#include <pthread.h>
#include <stdlib.h>

enum { RECONNECT_MIN_MS = 20, RECONNECT_MAX_MS = 1000 };

struct held {
    struct held *next;
    struct feed_event event;
};

struct feed {
    struct sp_dialer *dialer;
    struct feed_options options; // its url is gone
    pthread_mutex_t mu;

    // Guarded by mu
    bool missed; // not said yet
    struct held *first, **last;
    size_t count, bytes;
};

static void free_held(struct feed *f)
{
    for (struct held *h = f->first, *next; h; h = next) {
        next = h->next;
        nng_msg_free(h->event.msg);
        free(h);
    }
    f->first = NULL;
    f->last = &f->first;
    f->count = f->bytes = 0;
}

// What came over the connection before may be of another epoch.
static void opened(void *owner, struct sp_pipe *pipe)
{
    struct feed *f = owner;
    (void)pipe;
    pthread_mutex_lock(&f->mu);
    free_held(f);
    f->missed = true;
    pthread_mutex_unlock(&f->mu);
    f->options.changed(f->options.user);
}

static void closed(void *owner, struct sp_pipe *pipe)
{
    (void)owner;
    (void)pipe;
}

static void received(void *owner, struct sp_pipe *pipe, nng_msg *msg, uint32_t id)
{
    struct feed *f = owner;
    struct feed_event e = {.msg = msg};
    (void)pipe;
    (void)id;
    if (!event_parse(nng_msg_body(msg), nng_msg_len(msg), &e.event) ||
        !f->options.is_wanted(f->options.user, &e.event)) {
        nng_msg_free(msg);
        return;
    }
    size_t size = nng_msg_len(msg);
    pthread_mutex_lock(&f->mu);
    bool has_room = f->count < f->options.max_held && f->bytes + size <= f->options.max_held_bytes;
    if (has_room) {
        struct held *h = mem_alloc(sizeof *h);
        *h = (struct held){NULL, e};
        *f->last = h;
        f->last = &h->next;
        f->count++;
        f->bytes += size;
    } else {
        f->missed = true;
    }
    pthread_mutex_unlock(&f->mu);
    if (!has_room)
        nng_msg_free(msg);
    f->options.changed(f->options.user);
}

enum feed_news feed_take(struct feed *f, struct feed_event *out)
{
    enum feed_news news = FEED_NOTHING;
    pthread_mutex_lock(&f->mu);
    struct held *h = f->first;
    if (f->missed) {
        f->missed = false;
        news = FEED_MISSED;
    } else if (h) {
        *out = h->event;
        f->first = h->next;
        if (!f->first)
            f->last = &f->first;
        f->count--;
        f->bytes -= nng_msg_len(h->event.msg);
        free(h);
        news = FEED_EVENT;
    }
    pthread_mutex_unlock(&f->mu);
    return news;
}

int feed_open(const struct feed_options *options, struct feed **out, struct nrpc_status *st)
{
    static const struct sp_events events = {.opened = opened, .received = received, .closed = closed};
    struct feed *f = mem_calloc(1, sizeof *f);
    f->options = *options;
    f->last = &f->first;
    pthread_mutex_init(&f->mu, NULL);
    const struct sp_options sp = {
        .events = &events,
        .owner = f,
        .max_bytes = NRPC_DEFAULT_MAX_MESSAGE + TRANSPORT_FRAME_ROOM,
        .reconnect_min_ms = RECONNECT_MIN_MS,
        .reconnect_max_ms = RECONNECT_MAX_MS,
        .subscribes = true,
    };
    *out = f;
    int code = sp_dial(options->url, &sp, &f->dialer, st);
    if (code) {
        feed_close(f);
        *out = NULL;
    }
    return code;
}

void feed_close(struct feed *f)
{
    if (!f)
        return;
    sp_dialer_close(f->dialer);
    free_held(f);
    pthread_mutex_destroy(&f->mu);
    free(f);
}
