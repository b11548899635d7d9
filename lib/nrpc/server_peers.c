// SPDX-License-Identifier: Apache-2.0
// server_peers.c: the connections of a server: what arrives, what is sent, keepalive, goodbyes.
#include "nrpc/server.h"

#include "base/clock.h"
#include "nrpc/transport.h"

#include <nng/protocol/reqrep0/rep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEND_QUEUE = 4096, TICK_MS = 1000, LOCAL_ID = 1 << 30 };

// ---- sending

static void late_sent(void *arg);

static void keep_for_later(struct nrpc_server *s, nng_msg *msg)
{
    if (s->late_first + s->late_count == s->late_capacity) {
        if (s->late_count)
            memmove(s->late, s->late + s->late_first, s->late_count * sizeof *s->late);
        s->late_first = 0;
        mem_grow(&s->late, &s->late_capacity, s->late_count + 1, sizeof(*s->late));
    }
    s->late[s->late_first + s->late_count++] = msg;
}

static nng_msg *take_late(struct nrpc_server *s)
{
    s->late_count--;
    return s->late[s->late_first++];
}

// The socket's queue was full: one message waits for room in it, and takes the others along.
static void send_late(struct nrpc_server *s)
{
    s->sending_late = true;
    nng_aio_set_msg(s->send_aio, take_late(s));
    nng_send_aio(s->socket, s->send_aio);
}

static void late_sent(void *arg)
{
    struct nrpc_server *s = arg;
    int rv = nng_aio_result(s->send_aio);
    if (rv)
        nng_msg_free(nng_aio_get_msg(s->send_aio));
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    server_lock(s);
    s->sending_late = false;
    while (s->late_count && nng_sendmsg(s->socket, s->late[s->late_first], NNG_FLAG_NONBLOCK) == 0)
        (void)take_late(s);
    if (s->late_count)
        send_late(s);
    server_unlock(s);
}

static void send_on_socket(struct nrpc_server *s, nng_msg *msg)
{
    if (!s->late_count && !s->sending_late) {
        int rv = nng_sendmsg(s->socket, msg, NNG_FLAG_NONBLOCK);
        if (rv == 0)
            return;
        if (rv != NNG_EAGAIN) {
            nng_msg_free(msg); // the socket is closed: there is nobody to tell
            return;
        }
    }
    keep_for_later(s, msg);
    if (!s->sending_late)
        send_late(s);
}

static struct peer *peer_of(struct link *link)
{
    return (struct peer *)((char *)link - offsetof(struct peer, link));
}

static void emit(struct link *link, nng_msg *msg, uint32_t id)
{
    struct peer *p = peer_of(link);
    p->frames_sent++;
    if (p->local)
        server_run_errand(p->server, channel_ref(p->local), msg, id);
    else if (nng_msg_header_append_u32(msg, p->id) || nng_msg_header_append_u32(msg, id))
        mem_exhausted(8);
    else
        send_on_socket(p->server, msg);
}

void peers_say(struct nrpc_server *s, enum frame_kind kind)
{
    for (struct peer *p = s->peers; p; p = p->hh.next)
        link_say(&p->link, kind);
}

// ---- coming and going

static struct peer *peer_add(struct nrpc_server *s, uint32_t id)
{
    struct peer *p = mem_calloc(1, sizeof *p);
    p->server = s;
    p->id = id;
    p->connected_us = p->heard_us = clock_mono_us();
    link_init(&p->link, emit);
    HASH_ADD(hh, s->peers, id, sizeof p->id, p);
    atomic_fetch_add(&s->connected, 1);
    return p;
}

static void cancel_calls(struct peer *p)
{
    while (p->calls)
        call_cancel(p->calls);
}

static void peer_remove(struct peer *p)
{
    cancel_calls(p);
    HASH_DEL(p->server->peers, p);
    link_fini(&p->link);
    free(p);
}

static struct peer *peer_find(struct nrpc_server *s, uint32_t id)
{
    struct peer *p;
    HASH_FIND(hh, s->peers, &id, sizeof id, p);
    return p;
}

// "127.0.0.1:4711" as far as the transport says.
static void name_peer(struct peer *p, nng_pipe pipe)
{
    nng_sockaddr sa;
    if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) == 0)
        transport_address_text(&sa, p->name, sizeof p->name);
}

static void connecting(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct nrpc_server *s = arg;
    server_lock(s);
    name_peer(peer_add(s, (uint32_t)nng_pipe_id(pipe)), pipe);
    s->remote_peers++;
    server_unlock(s);
}

static void disconnected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct nrpc_server *s = arg;
    server_lock(s);
    struct peer *p = peer_find(s, (uint32_t)nng_pipe_id(pipe));
    if (p) {
        peer_remove(p);
        if (--s->remote_peers == 0)
            pthread_cond_broadcast(&s->peers_gone);
    }
    server_unlock(s);
}

// The client says goodbye: in answer to ours, which closes the connection, or by itself.
static bool take_goodbye(struct peer *p)
{
    if (p->link.said_goodbye)
        return true;
    cancel_calls(p);
    link_say(&p->link, FRAME_GOODBYE);
    return false;
}

// ---- receiving

// A frame that speaks of the connection; true: it is to be closed.
static bool take_connection_frame(struct peer *p, const struct frame *f)
{
    if (f->kind == FRAME_PING)
        link_say(&p->link, FRAME_ACK);
    return f->kind == FRAME_GOODBYE && take_goodbye(p);
}

// A frame that came alone or in a batch. Takes msg. Under the mutex, which it gives back for a while; NULL:
// the peer has gone meanwhile.
static struct peer *take_one(struct peer *p, nng_msg *msg, const struct frame *f,
                             const struct nrpc_status *bad, uint32_t id, bool *close)
{
    struct nrpc_server *s = p->server;
    uint32_t peer_id = p->id;
    if (!f)
        atomic_fetch_add(&s->bad_frames, 1);
    if (id != LINK_CONNECTION_ID) {
        requests_take(p, msg, f, bad, id);
        return peer_find(s, peer_id);
    }
    *close = f && take_connection_frame(p, f);
    nng_msg_free(msg);
    return p;
}

static struct peer *take_batch(struct peer *p, nng_msg *batch, const struct frame *f, bool *close)
{
    struct wire_bytes rest = f->all;
    nng_msg *msg;
    uint32_t id;
    while (p && !*close && (msg = link_next_of_batch(&rest, &id))) {
        struct frame inner;
        struct nrpc_status st;
        int code = frame_parse(nng_msg_body(msg), nng_msg_len(msg), &inner, &st);
        p = take_one(p, msg, code ? NULL : &inner, &st, transport_sp_id(id), close);
    }
    nng_msg_free(batch);
    return p;
}

// Takes msg. true: the connection is to be closed.
static bool take_message(struct nrpc_server *s, uint32_t peer_id, nng_msg *msg, uint32_t id)
{
    struct frame f;
    struct nrpc_status st;
    int code = frame_parse(nng_msg_body(msg), nng_msg_len(msg), &f, &st);
    server_lock(s);
    struct peer *p = peer_find(s, peer_id);
    bool close = false;
    if (!p) { // it has gone already
        nng_msg_free(msg);
    } else {
        p->heard_us = clock_mono_us();
        p->asked = false;
        p->frames_received++;
        link_heard(&p->link, &f);
        if (id == LINK_CONNECTION_ID && f.kind == FRAME_BATCH)
            p = take_batch(p, msg, &f, &close);
        else
            p = take_one(p, msg, code ? NULL : &f, &st, id, &close);
        if (p)
            link_acknowledge(&p->link);
    }
    server_unlock(s);
    return close;
}

static void received(void *arg)
{
    struct nrpc_server *s = arg;
    int rv = nng_aio_result(s->receive_aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    nng_msg *msg = rv == 0 ? nng_aio_get_msg(s->receive_aio) : NULL;
    // The pipe and the id: frames do not travel through devices, whose header would be longer.
    uint32_t pipe_id, id;
    if (msg && nng_msg_header_len(msg) == 8 && nng_msg_header_trim_u32(msg, &pipe_id) == 0 &&
        nng_msg_header_trim_u32(msg, &id) == 0) {
        nng_pipe pipe = nng_msg_get_pipe(msg);
        if (take_message(s, pipe_id, msg, id))
            nng_pipe_close(pipe);
    } else if (msg) {
        atomic_fetch_add(&s->bad_frames, 1);
        nng_msg_free(msg);
    }
    nng_recv_aio(s->socket, s->receive_aio);
}

// ---- local channels

struct peer *server_connect_local(struct nrpc_server *s, struct nrpc_channel *channel)
{
    server_ref(s);
    server_lock(s);
    do
        s->next_local++;
    while (peer_find(s, LOCAL_ID | s->next_local));
    struct peer *p = peer_add(s, LOCAL_ID | s->next_local);
    p->local = channel_ref(channel);
    server_unlock(s);
    return p;
}

void server_disconnect_local(struct peer *p)
{
    struct nrpc_server *s = p->server;
    struct nrpc_channel *channel = p->local;
    server_lock(s);
    peer_remove(p);
    server_unlock(s);
    channel_unref(channel);
    server_unref(s);
}

void server_receive_local(struct peer *p, nng_msg *msg, uint32_t id)
{
    (void)take_message(p->server, p->id, msg, id);
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
    size_t dead_count = 0, dead_capacity = 0;
    int *dead = NULL;
    for (struct peer *p = s->peers; p; p = p->hh.next) {
        int64_t silent_ms = (now_us - p->heard_us) / 1000;
        if (p->local || silent_ms < o->keepalive_ms)
            continue;
        if (!p->asked) {
            p->asked = true;
            link_say(&p->link, FRAME_PING);
        } else if (silent_ms >= o->keepalive_ms + o->keepalive_timeout_ms) {
            mem_grow(&dead, &dead_capacity, dead_count + 1, sizeof *dead);
            dead[dead_count++] = (int)p->id;
        }
    }
    server_unlock(s);
    for (size_t i = 0; i < dead_count; i++)
        nng_pipe_close((nng_pipe){(uint32_t)dead[i]});
    free(dead);
    nng_sleep_aio(TICK_MS < o->keepalive_ms ? TICK_MS : (nng_duration)o->keepalive_ms, s->tick_aio);
}

// ---- the socket

int peers_open(struct nrpc_server *s, struct nrpc_status *st)
{
    int rv = nng_rep0_open_raw(&s->socket);
    if (rv)
        return transport_error(st, rv, "cannot open a socket");
    int code = transport_tune(s->socket, s->options.max_message_bytes, SEND_QUEUE, st);
    if (code == NRPC_OK &&
        ((rv = nng_aio_alloc(&s->receive_aio, received, s)) ||
         (rv = nng_aio_alloc(&s->send_aio, late_sent, s)) || (rv = nng_aio_alloc(&s->tick_aio, tick, s)) ||
         (rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, connecting, s)) ||
         (rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, disconnected, s))))
        code = transport_error(st, rv, "cannot open a socket");
    if (code) {
        nng_close(s->socket);
        return code;
    }
    s->open = true;
    nng_recv_aio(s->socket, s->receive_aio);
    if (s->options.keepalive_ms > 0)
        nng_sleep_aio(TICK_MS, s->tick_aio);
    return NRPC_OK;
}

bool peers_close(struct nrpc_server *s)
{
    nng_aio_free(s->tick_aio);
    return transport_close(s->socket, s->receive_aio, s->send_aio);
}
