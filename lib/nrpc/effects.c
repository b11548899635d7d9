// SPDX-License-Identifier: Apache-2.0
// effects.c: a channel's mutex, and what must happen without it: callbacks, and handing over to a local
// server. Whoever gives the mutex back carries out what was gathered under it.
#include "nrpc/channel.h"

#include <stdlib.h>

void channel_lock(struct nrpc_channel *ch)
{
    pthread_mutex_lock(&ch->mu);
}

void channel_enter(struct nrpc_channel *ch)
{
    pthread_mutex_lock(&ch->mu);
    ch->inside++;
    pthread_mutex_unlock(&ch->mu);
}

void channel_leave(struct nrpc_channel *ch)
{
    if (--ch->inside == 0 && ch->closing)
        pthread_cond_broadcast(&ch->quiet);
}

void channel_errand(struct nrpc_channel *ch, nng_msg *msg, uint32_t id)
{
    *(struct errand_out *)queue_push(&ch->errands, sizeof(struct errand_out)) = (struct errand_out){msg, id};
}

static void run_done(struct nrpc_channel *ch)
{
    struct pending *p = ch->done;
    ch->done = p->next;
    if (!ch->done)
        ch->done_tail = &ch->done;
    pthread_mutex_unlock(&ch->mu);
    sp_flush();
    pending_run_done(p);
    pending_free(p);
    pthread_mutex_lock(&ch->mu);
}

// One thread at a time, so that frames keep their order.
static void run_errands(struct nrpc_channel *ch)
{
    const struct connection *c = ch->connections[0]; // a local channel has one, for as long as it lives
    ch->running_errands = true;
    while (ch->errands.count) {
        struct errand_out e = *(struct errand_out *)queue_at(&ch->errands, 0, sizeof e);
        queue_pop(&ch->errands);
        pthread_mutex_unlock(&ch->mu);
        server_receive_local(c->local, c->local_id, e.msg, e.id);
        pthread_mutex_lock(&ch->mu);
    }
    ch->running_errands = false;
}

static void run_ready(struct nrpc_channel *ch)
{
    struct nrpc_stream *s = ch->ready;
    ch->ready = s->next_ready;
    bool closed = false; // by its on_ready: it is gone
    s->is_ready = false;
    s->running = &closed;
    s->ready_thread = pthread_self();
    while (!closed && s->ready_again) {
        s->ready_again = false;
        pthread_mutex_unlock(&ch->mu);
        sp_flush();
        s->on_ready(s->on_ready_user);
        pthread_mutex_lock(&ch->mu);
    }
    if (closed)
        return;
    s->running = NULL;
    pthread_cond_broadcast(&s->changed);
}

// The channels for which this thread carries something out. What a callback of one of them gathers there is
// left to the loop further down the stack: a `done` that starts the next call must not run the next `done`
// inside itself, and that one the next.
struct carrying {
    const struct nrpc_channel *channel;
    const struct carrying *below;
};
static _Thread_local const struct carrying *carrying;

static bool is_carrying(const struct nrpc_channel *ch)
{
    const struct carrying *c = carrying;
    while (c && c->channel != ch)
        c = c->below;
    return c != NULL;
}

static void carry_out(struct nrpc_channel *ch)
{
    const struct carrying here = {ch, carrying};
    carrying = &here;
    ch->inside++;
    for (;;) {
        if (ch->errands.count && !ch->running_errands)
            run_errands(ch);
        else if (ch->done)
            run_done(ch);
        else if (ch->ready)
            run_ready(ch);
        else
            break;
    }
    channel_leave(ch);
    carrying = here.below;
}

void channel_unlock(struct nrpc_channel *ch)
{
    if ((ch->done || ch->ready || (ch->errands.count && !ch->running_errands)) && !is_carrying(ch))
        carry_out(ch);
    pthread_mutex_unlock(&ch->mu);
    sp_flush();
}

void channel_ready(struct nrpc_stream *s)
{
    pthread_cond_broadcast(&s->changed);
    if (!s->on_ready)
        return;
    s->ready_again = true;
    if (s->is_ready || s->running)
        return;
    s->is_ready = true;
    s->next_ready = s->call.channel->ready;
    s->call.channel->ready = s;
}
