// SPDX-License-Identifier: Apache-2.0
// server_peers.c: the connections of a server: what arrives, what is sent, keepalive, goodbyes.
#include "nrpc/server.h"

#include "base/clock.h"
#include "nrpc/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 1000, DRAIN_CROSSES_MS = 1000 };

// ---- sending

static struct peer *peer_of(struct link *link)
{
    return (struct peer *)((char *)link - offsetof(struct peer, link));
}

static void emit(struct link *link, nng_msg *msg, uint32_t id, bool urgent)
{
    struct peer *p = peer_of(link);
    if (!msg && p->pipe)
        sp_close(p->pipe);
    if (!msg)
        return;
    p->frames_sent++;
    if (p->local)
        server_run_errand(p->server, channel_ref(p->local), msg, id);
    else
        sp_send(p->pipe, msg, id, urgent);
}

static size_t unsent(const struct link *link)
{
    const struct peer *p = peer_of((struct link *)link);
    return p->pipe ? sp_unsent_bytes(p->pipe) : 0;
}

static void has_room(struct link *link)
{
    struct peer *p = peer_of(link);
    struct nrpc_call *c = p->calls;
    do {
        if (c && c->streams)
            call_changed(c);
    } while (c && (c = c->next) != p->calls);
}

static void say(struct peer *p, enum frame_kind kind)
{
    link_say(&p->link, kind);
    if (kind != FRAME_DRAIN || p->drained_us)
        return;
    p->drained_us = clock_mono_us();
    p->drained_at = p->link.sent;
}

void peers_say(struct nrpc_server *s, enum frame_kind kind)
{
    for (struct peer *p = s->peers; p; p = p->hh.next)
        say(p, kind);
}

// Calls that cross our DRAIN are served as if they had come before it: they have come, and nobody else can
// know that they were not begun. A client knows of it when it has acknowledged that message; one that
// acknowledges nothing, after a while.
bool peer_knows_of_drain(const struct peer *p)
{
    if (!p->pipe || !p->drained_us)
        return !p->pipe;
    if (!p->link.acked)
        return clock_mono_us() - p->drained_us > DRAIN_CROSSES_MS * 1000;
    return (int32_t)(p->link.acked - p->drained_at) >= 0;
}

// ---- coming and going

struct peer *peer_find(struct nrpc_server *s, uint32_t id)
{
    struct peer *p;
    HASH_FIND(hh, s->peers, &id, sizeof id, p);
    return p;
}

static struct peer *peer_add(struct nrpc_server *s)
{
    struct peer *p = mem_calloc(1, sizeof *p);
    do
        p->id = ++s->last_id;
    while (!p->id || peer_find(s, p->id));
    p->server = s;
    p->connected_us = clock_mono_us();
    p->stalled_tail = &p->stalled;
    const struct link model = {
        .emit = emit, .has_room = has_room, .unsent = unsent, .full_links = &s->full_links};
    link_init(&p->link, &model);
    HASH_ADD(hh, s->peers, id, sizeof p->id, p);
    atomic_fetch_add(&s->connected, 1);
    return p;
}

static void cancel_calls(struct peer *p)
{
    while (p->calls)
        call_cancel(p->calls);
}

// Under the mutex; gives it back.
static void peer_remove(struct peer *p)
{
    struct nrpc_server *s = p->server;
    struct nrpc_call *stalled = p->stalled;
    cancel_calls(p);
    HASH_DEL(s->peers, p);
    link_fini(&p->link);
    free(p);
    server_unlock(s);
    requests_drop(stalled);
}

static void opened(void *owner, struct sp_pipe *pipe)
{
    struct nrpc_server *s = owner;
    server_lock(s);
    struct peer *p = peer_add(s);
    p->pipe = pipe;
    sp_set_user(pipe, p->id);
    sp_peer_name(pipe, p->name, sizeof p->name);
    s->remote_peers++;
    if (atomic_load(&s->draining))
        say(p, FRAME_DRAIN);
    server_unlock(s);
}

static void closed(void *owner, struct sp_pipe *pipe)
{
    struct nrpc_server *s = owner;
    server_lock(s);
    if (--s->remote_peers == 0)
        pthread_cond_broadcast(&s->peers_gone);
    peer_remove(peer_find(s, sp_user(pipe)));
}

// A long message is arriving: without a word from us its sender could not tell that we live.
static void arriving(void *owner, struct sp_pipe *pipe)
{
    struct nrpc_server *s = owner;
    server_lock(s);
    link_say(&peer_find(s, sp_user(pipe))->link, FRAME_ACK);
    server_unlock(s);
}

static void drained(void *owner, struct sp_pipe *pipe)
{
    struct nrpc_server *s = owner;
    server_lock(s);
    struct peer *p = peer_find(s, sp_user(pipe));
    link_drained(&p->link);
    requests_resume(p);
    server_unlock(s);
}

// The client says goodbye: in answer to ours, which closes the connection, or by itself.
static void take_goodbye(struct peer *p)
{
    if (p->link.said_goodbye && p->pipe)
        sp_close(p->pipe);
    cancel_calls(p);
    link_say(&p->link, FRAME_GOODBYE);
}

// ---- receiving

// A frame that speaks of the connection.
static void take_connection_frame(struct peer *p, const struct frame *f)
{
    if (f->kind == FRAME_PING)
        link_say(&p->link, FRAME_ACK);
    if (f->kind == FRAME_GOODBYE)
        take_goodbye(p);
}

// A frame that came alone or in a batch. Takes msg. Under the mutex, which it gives back for a while; NULL:
// the peer has gone meanwhile.
static struct peer *take_one(struct peer *p, nng_msg *msg, const struct frame *f,
                             const struct nrpc_status *bad, uint32_t id)
{
    struct nrpc_server *s = p->server;
    uint32_t peer_id = p->id;
    if (!f)
        atomic_fetch_add(&s->bad_frames, 1);
    if (id != LINK_CONNECTION_ID) {
        requests_take(p, msg, f, bad, id);
        return peer_find(s, peer_id);
    }
    if (f)
        take_connection_frame(p, f);
    nng_msg_free(msg);
    return p;
}

static struct peer *take_batch(struct peer *p, nng_msg *batch, const struct frame *f)
{
    struct wire_bytes rest = f->all;
    nng_msg *msg;
    uint32_t id;
    while (p && (msg = link_next_of_batch(&rest, &id))) {
        struct frame inner;
        struct nrpc_status st;
        int code = frame_parse(nng_msg_body(msg), nng_msg_len(msg), &inner, &st);
        p = take_one(p, msg, code ? NULL : &inner, &st, transport_sp_id(id));
    }
    nng_msg_free(batch);
    return p;
}

static void take_message(struct nrpc_server *s, uint32_t peer_id, nng_msg *msg, uint32_t id)
{
    struct frame f;
    struct nrpc_status st;
    int code = frame_parse(nng_msg_body(msg), nng_msg_len(msg), &f, &st);
    server_lock(s);
    struct peer *p = peer_find(s, peer_id);
    if (!p) { // a local channel that has gone already
        nng_msg_free(msg);
    } else {
        p->frames_received++;
        link_heard(&p->link, &f);
        p = p->stalled ? requests_resume(p) : p;
        if (!p)
            nng_msg_free(msg);
        else if (code == NRPC_OK && id == LINK_CONNECTION_ID && f.kind == FRAME_BATCH)
            p = take_batch(p, msg, &f);
        else
            p = take_one(p, msg, code ? NULL : &f, &st, id);
        if (p)
            link_acknowledge(&p->link);
    }
    server_unlock(s);
}

static void received(void *owner, struct sp_pipe *pipe, nng_msg *msg, uint32_t id)
{
    take_message(owner, sp_user(pipe), msg, id);
}

// ---- local channels

uint32_t server_connect_local(struct nrpc_server *s, struct nrpc_channel *channel)
{
    server_ref(s);
    server_lock(s);
    struct peer *p = peer_add(s);
    p->local = channel_ref(channel);
    uint32_t id = p->id;
    server_unlock(s);
    return id;
}

void server_disconnect_local(struct nrpc_server *s, uint32_t peer_id)
{
    server_lock(s);
    struct peer *p = peer_find(s, peer_id);
    struct nrpc_channel *channel = p->local;
    peer_remove(p);
    channel_unref(channel);
}

void server_release_local(struct nrpc_server *s)
{
    server_unref(s);
}

void server_receive_local(struct nrpc_server *s, uint32_t peer_id, nng_msg *msg, uint32_t id)
{
    take_message(s, peer_id, msg, id);
}

// ---- keepalive

static void tick(void *arg)
{
    struct nrpc_server *s = arg;
    if (nng_aio_result(s->tick_aio))
        return;
    const struct nrpc_server_options *o = &s->options;
    server_lock(s);
    int64_t now_us = clock_mono_us();
    for (struct peer *p = s->peers; p; p = p->hh.next) {
        int64_t heard_us = p->pipe ? sp_heard_us(p->pipe) : now_us, silent_ms = (now_us - heard_us) / 1000;
        if (silent_ms < o->keepalive_ms)
            continue;
        if (p->asked_us <= heard_us) {
            p->asked_us = now_us;
            link_say(&p->link, FRAME_PING);
        } else if (silent_ms >= o->keepalive_ms + o->keepalive_timeout_ms) {
            sp_close(p->pipe);
        }
    }
    server_unlock(s);
    nng_sleep_aio(transport_ms(o->keepalive_ms < TICK_MS ? o->keepalive_ms : TICK_MS), s->tick_aio);
}

// ---- opening and closing

void peers_open(struct nrpc_server *s)
{
    if (nng_aio_alloc(&s->tick_aio, tick, s))
        mem_exhausted(sizeof *s);
    if (s->options.keepalive_ms > 0)
        nng_sleep_aio(TICK_MS, s->tick_aio);
}

struct sp_options peers_options(struct nrpc_server *s)
{
    static const struct sp_events events = {opened, received, closed, arriving, drained, NULL};
    return (struct sp_options){
        .events = &events,
        .owner = s,
        .max_bytes = s->options.max_message_bytes + TRANSPORT_FRAME_ROOM,
        // Half, so that it tells before the link can have less than all of its room again.
        .room_bytes = LINK_ROOM_BYTES / 2,
        .tls = s->options.tls,
    };
}

void peers_close(struct nrpc_server *s)
{
    if (!s->open)
        return;
    nng_aio_stop(s->tick_aio);
    nng_aio_free(s->tick_aio);
    for (size_t i = 0; i < s->listener_count; i++)
        sp_listener_hang_up(s->listeners[i]);
}
