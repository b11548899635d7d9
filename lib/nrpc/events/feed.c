// SPDX-License-Identifier: Apache-2.0
// feed.c: a SUB socket, and the queue behind it.
#include "nrpc/events/feed.h"

#include "base/mem.h"
#include "nrpc/transport.h"

#include <nng/protocol/pubsub0/sub.h>
#include <pthread.h>
#include <stdlib.h>

enum { SOCKET_QUEUE = 1024 };

struct held {
    struct held *next;
    struct feed_event event;
};

struct feed {
    nng_socket socket;
    nng_aio *aio;
    struct feed_options options;
    char *url;
    pthread_mutex_t mu;

    // Guarded by mu
    int pipe;    // the newest connection: what still comes from others is dropped
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

// A connection is about to be used. What came over the one before may be of another epoch.
static void connected(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct feed *f = arg;
    (void)event;
    pthread_mutex_lock(&f->mu);
    free_held(f);
    f->pipe = nng_pipe_id(pipe);
    f->missed = true;
    pthread_mutex_unlock(&f->mu);
    f->options.changed(f->options.user);
}

// Takes msg.
static void hold(struct feed *f, nng_msg *msg)
{
    struct feed_event e = {.msg = msg};
    bool is_event = event_parse(nng_msg_body(msg), nng_msg_len(msg), &e.event);
    pthread_mutex_lock(&f->mu);
    bool is_current = nng_pipe_id(nng_msg_get_pipe(msg)) == f->pipe;
    bool has_room =
        f->count < f->options.max_held && f->bytes + nng_msg_len(msg) <= f->options.max_held_bytes;
    bool is_held = is_event && is_current && has_room;
    if (is_held) {
        struct held *h = mem_alloc(sizeof *h);
        *h = (struct held){NULL, e};
        *f->last = h;
        f->last = &h->next;
        f->count++;
        f->bytes += nng_msg_len(msg);
    } else if (is_event && is_current) {
        f->missed = true;
    }
    pthread_mutex_unlock(&f->mu);
    if (!is_held)
        nng_msg_free(msg);
    f->options.changed(f->options.user);
}

static void received(void *arg)
{
    struct feed *f = arg;
    int rv = nng_aio_result(f->aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    if (rv == 0)
        hold(f, nng_aio_get_msg(f->aio));
    nng_recv_aio(f->socket, f->aio);
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

int feed_create(const struct feed_options *options, struct feed **out, struct nrpc_status *st)
{
    struct feed *f = mem_calloc(1, sizeof *f);
    *out = NULL;
    f->options = *options;
    f->last = &f->first;
    int rv = nng_sub0_open(&f->socket);
    if (rv) {
        free(f);
        return transport_error(st, rv, "cannot subscribe");
    }
    f->url = mem_strdup(options->url);
    pthread_mutex_init(&f->mu, NULL);
    int code = transport_tune(f->socket, NRPC_DEFAULT_MAX_MESSAGE, SOCKET_QUEUE, st);
    if (code == NRPC_OK && ((rv = nng_pipe_notify(f->socket, NNG_PIPE_EV_ADD_PRE, connected, f)) ||
                            (rv = nng_aio_alloc(&f->aio, received, f))))
        code = transport_error(st, rv, "cannot subscribe");
    if (code)
        (void)feed_close(f);
    else
        *out = f;
    return code;
}

int feed_subscribe(struct feed *f, const char *topic, struct nrpc_status *st)
{
    uint8_t prefix[EVENT_PREFIX_MAX];
    int rv = nng_socket_set(f->socket, NNG_OPT_SUB_SUBSCRIBE, prefix, event_prefix(topic, prefix));
    return rv ? transport_error(st, rv, "cannot subscribe") : NRPC_OK;
}

int feed_open(struct feed *f, struct nrpc_status *st)
{
    int rv = nng_dial(f->socket, f->url, NULL, NNG_FLAG_NONBLOCK);
    if (rv)
        return transport_error(st, rv, "cannot subscribe");
    nng_recv_aio(f->socket, f->aio);
    return NRPC_OK;
}

bool feed_close(struct feed *f)
{
    if (!f)
        return true;
    if (!transport_close(f->socket, f->aio))
        return false; // the feed stays
    free_held(f);
    pthread_mutex_destroy(&f->mu);
    free(f->url);
    free(f);
    return true;
}
