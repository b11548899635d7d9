// SPDX-License-Identifier: Apache-2.0
// connection.c: one connection of a channel: a raw REQ socket with one dialer, and the calls on the wire.
//
// A call's wire id is the number of its slot with a generation above it, so that an answer finds its call
// without a search, and a late one finds none. The dialer connects again by itself, with backoff and jitter.
#include "nrpc/channel.h"

#include "base/clock.h"
#include "nrpc/tls.h"
#include "nrpc/transport.h"

#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEND_QUEUE = 2 * 64, NEVER_MS = 3600000, AVOID_MS = 1000 };

// ---- sending

static void emit(struct link *link, nng_msg *msg, uint32_t id)
{
    struct connection *c = (struct connection *)((char *)link - offsetof(struct connection, link));
    if (c->local) {
        channel_errand(c->channel, c->local, msg, id);
        return;
    }
    if (nng_msg_header_append_u32(msg, id))
        mem_exhausted(4);
    if (nng_sendmsg(c->socket, msg, NNG_FLAG_NONBLOCK)) // the queue is longer than the window: it is closing
        nng_msg_free(msg);
}

// ---- slots

static uint32_t take_slot(struct connection *c)
{
    if (!c->free_slot) {
        mem_grow(&c->slots, &c->slot_capacity, c->slot_count + 1, sizeof *c->slots);
        c->slots[c->slot_count++] = (struct slot){0};
        c->free_slot = (uint32_t)c->slot_count;
    }
    uint32_t index = c->free_slot - 1;
    c->free_slot = c->slots[index].next_free;
    c->slots[index].next_free = 0;
    return index;
}

void connection_place(struct connection *c, struct pending *p)
{
    p->connection = c;
    p->slot = take_slot(c);
    do
        p->wire_id = transport_sp_id(++c->next_wire << CHANNEL_SLOT_BITS | p->slot);
    while (p->wire_id == LINK_CONNECTION_ID);
    c->slots[p->slot].call = p;
    c->slots[p->slot].wire_id = p->wire_id;
    if (c->outstanding++ == 0)
        c->heard_us = clock_mono_us(); // the silence before does not count
    if (p->deadline_us != CLOCK_NEVER) {
        int64_t left_us = p->deadline_us - clock_mono_us();
        frame_set_timeout(nng_msg_body(p->msg), left_us > 0 ? (uint64_t)left_us : 1);
    }
    if (p->kind != PENDING_STREAM && p->method->idempotent &&
        ++p->attempts < c->channel->options.retry.max_attempts && nng_msg_dup(&p->again, p->msg))
        mem_exhausted(nng_msg_len(p->msg));
    if (p->kind == PENDING_STREAM)
        flow_connect(&((struct nrpc_stream *)p)->flow, &c->link, p->wire_id);
    link_send(&c->link, p->msg, p->wire_id);
    p->msg = NULL;
    if (p->kind == PENDING_STREAM)
        stream_placed((struct nrpc_stream *)p);
}

void connection_release(struct connection *c, struct pending *p)
{
    struct slot *s = &c->slots[p->slot];
    *s = (struct slot){.next_free = c->free_slot};
    c->free_slot = p->slot + 1;
    c->outstanding--;
    p->connection = NULL;
    if (p->kind == PENDING_STREAM)
        flow_disconnect(&((struct nrpc_stream *)p)->flow);
    if (c->leaving && !c->outstanding)
        connection_say_goodbye(c);
}

void connection_fail_all(struct connection *c, int code, const char *text)
{
    for (size_t i = 0; i < c->slot_count; i++) {
        struct pending *p = c->slots[i].call;
        if (!p)
            continue;
        status_set(&p->st, code, "%s: %s", c->url, text);
        channel_end_attempt(c->channel, p, 0);
    }
}

void connection_say_goodbye(struct connection *c)
{
    if (c->pipe && !c->local)
        link_say(&c->link, FRAME_GOODBYE);
}

void connection_stop_dialing(struct connection *c)
{
    if (!c->open)
        return;
    (void)nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMAXT, NEVER_MS);
    (void)nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMINT, NEVER_MS);
}

// ---- receiving

static void hang_up(struct connection *c)
{
    struct nrpc_channel *ch = c->channel;
    mem_grow(&ch->hang_ups, &ch->hang_up_capacity, ch->hang_up_count + 1, sizeof *ch->hang_ups);
    ch->hang_ups[ch->hang_up_count++] = c->pipe;
}

static void take_goodbye(struct connection *c)
{
    if (c->link.said_goodbye) {
        hang_up(c); // both have said it
        return;
    }
    c->leaving = true;
    connection_fail_all(c, NRPC_UNAVAILABLE, "the server closes");
    connection_say_goodbye(c);
}

static void take_connection_frame(struct connection *c, const struct frame *f)
{
    if (f->kind == FRAME_PING) {
        link_say(&c->link, FRAME_ACK);
    } else if (f->kind == FRAME_DRAIN) {
        c->leaving = true;
        if (!c->outstanding)
            connection_say_goodbye(c);
    } else if (f->kind == FRAME_GOODBYE) {
        take_goodbye(c);
    }
}

static void take_response(struct connection *c, struct pending *p, nng_msg *msg, const struct frame *f)
{
    p->reply = msg;
    p->st.code = (int)f->status;
    int64_t pushback_ms = f->status ? outcome_retry_after_ms(f) : 0;
    if (f->status == NRPC_UNAVAILABLE)
        c->avoid_until_us = clock_mono_us() + AVOID_MS * 1000;
    channel_end_attempt(c->channel, p, pushback_ms);
}

// The server did not keep to the protocol. Takes msg.
static void break_call(struct connection *c, struct pending *p, nng_msg *msg, const char *text)
{
    char whole[200];
    snprintf(whole, sizeof whole, "%s: %s", p->method->name, text);
    nng_msg_free(msg);
    channel_cancel(c->channel, p, NRPC_INTERNAL, whole);
}

static void take_stream_frame(struct connection *c, struct nrpc_stream *s, nng_msg *msg,
                              const struct frame *f)
{
    if (!s->has_first && f->kind != FRAME_CREDIT) {
        s->has_first = true;
        outcome_take(&s->first, f);
    }
    if (f->kind == FRAME_RESPONSE) {
        take_response(c, &s->call, msg, f);
        return;
    }
    if (f->kind == FRAME_CREDIT) {
        s->flow.credit += f->credit;
        nng_msg_free(msg);
    } else if (f->kind != FRAME_MESSAGE || !s->call.method->server_streams) {
        break_call(c, &s->call, msg, "a frame that does not belong to the call");
        return;
    } else if (!flow_receive(&s->flow, msg, f)) {
        break_call(c, &s->call, msg, "more messages than were granted");
        return;
    }
    channel_ready(s);
}

static void take_call_frame(struct connection *c, nng_msg *msg, const struct frame *f, uint32_t id)
{
    uint32_t slot = id & (CHANNEL_SLOTS_MAX - 1);
    struct pending *p = slot < c->slot_count && c->slots[slot].wire_id == id ? c->slots[slot].call : NULL;
    if (!p) { // it has ended before
        nng_msg_free(msg);
        if (f->kind == FRAME_MESSAGE)
            link_say_of(&c->link, FRAME_CANCEL, id);
    } else if (f->version != NRPC_WIRE_VERSION) {
        break_call(c, p, msg, "a malformed answer");
    } else if (p->kind == PENDING_STREAM) {
        take_stream_frame(c, (struct nrpc_stream *)p, msg, f);
    } else if (f->kind == FRAME_RESPONSE) {
        take_response(c, p, msg, f);
    } else {
        break_call(c, p, msg, "the server streams, the client does not expect it");
    }
}

static void take_one(struct connection *c, nng_msg *msg, const struct frame *f, uint32_t id)
{
    if (id == LINK_CONNECTION_ID) {
        take_connection_frame(c, f);
        nng_msg_free(msg);
    } else {
        take_call_frame(c, msg, f, id);
    }
}

static void take_batch(struct connection *c, nng_msg *batch, const struct frame *f)
{
    struct wire_bytes rest = f->all;
    nng_msg *msg;
    uint32_t id;
    while ((msg = link_next_of_batch(&rest, &id))) {
        struct frame inner;
        (void)frame_parse(nng_msg_body(msg), nng_msg_len(msg), &inner, NULL);
        take_one(c, msg, &inner, id);
    }
    nng_msg_free(batch);
}

static void take_message(struct connection *c, nng_msg *msg, uint32_t id)
{
    struct frame f;
    (void)frame_parse(nng_msg_body(msg), nng_msg_len(msg), &f, NULL); // malformed: version 0
    channel_lock(c->channel);
    c->heard_us = clock_mono_us();
    c->asked = false;
    link_heard(&c->link, &f);
    if (id == LINK_CONNECTION_ID && f.kind == FRAME_BATCH)
        take_batch(c, msg, &f);
    else
        take_one(c, msg, &f, id);
    channel_pump(c->channel);
    link_acknowledge(&c->link);
    channel_unlock(c->channel);
}

static void received(void *arg)
{
    struct connection *c = arg;
    int rv = nng_aio_result(c->receive_aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    nng_msg *msg = rv == 0 ? nng_aio_get_msg(c->receive_aio) : NULL;
    uint32_t id;
    if (!msg || nng_msg_header_trim_u32(msg, &id))
        nng_msg_free(msg);
    else
        take_message(c, msg, id);
    nng_recv_aio(c->socket, c->receive_aio);
}

void channel_receive_local(struct nrpc_channel *ch, nng_msg *msg, uint32_t id)
{
    take_message(ch->connections[0], msg, id);
}

// ---- coming and going

static void connected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct connection *c = arg;
    struct nrpc_channel *ch = c->channel;
    channel_lock(ch);
    if (ch->closing) { // it came too late; nobody says anything over it, and it is closed with the socket
        channel_unlock(ch);
        return;
    }
    c->pipe = (uint32_t)nng_pipe_id(pipe);
    c->leaving = c->asked = false;
    c->heard_us = clock_mono_us();
    c->avoid_until_us = 0;
    link_fini(&c->link);
    link_init(&c->link, emit);
    ch->stats.connects++;
    if (c->retired)
        connection_say_goodbye(c);
    channel_pump(ch);
    channel_unlock(ch);
}

// Calls in line have as long again to wait for a connection.
static void restart_connect_timeouts(struct nrpc_channel *ch)
{
    int64_t connect_by_us = clock_mono_us() + ch->options.connect_timeout_ms * 1000;
    for (struct pending *p = ch->line; p; p = p->next) {
        if (p->connect_by_us != CLOCK_NEVER)
            p->connect_by_us = connect_by_us;
        if (p->kind != PENDING_BLOCKING)
            channel_arm(ch, channel_wake_at(ch, p));
    }
}

static void disconnected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct connection *c = arg;
    struct nrpc_channel *ch = c->channel;
    channel_lock(ch);
    if (c->pipe == (uint32_t)nng_pipe_id(pipe)) {
        c->pipe = 0;
        ch->stats.disconnects++;
        c->link.said_goodbye = true; // nothing more over this one
        connection_fail_all(c, NRPC_UNAVAILABLE, "the connection was lost");
        restart_connect_timeouts(ch);
        pthread_cond_broadcast(&ch->quiet);
    }
    channel_unlock(ch);
}

int64_t connection_tick(struct connection *c, int64_t now_us)
{
    const struct nrpc_channel_options *o = &c->channel->options;
    if (!c->pipe || c->local || o->keepalive_ms <= 0 || !c->outstanding)
        return INT64_MAX;
    int64_t ask_us = c->heard_us + o->keepalive_ms * 1000, end_us = ask_us + o->keepalive_timeout_ms * 1000;
    if (now_us < ask_us)
        return ask_us;
    if (!c->asked) {
        c->asked = true;
        link_say(&c->link, FRAME_PING);
        return end_us;
    }
    if (now_us < end_us)
        return end_us;
    connection_fail_all(c, NRPC_UNAVAILABLE, "the server gives no sign of life");
    hang_up(c);
    return INT64_MAX;
}

// ---- life

struct connection *connection_create(struct nrpc_channel *ch, const char *url)
{
    struct connection *c = mem_calloc(1, sizeof *c);
    c->channel = ch;
    c->url = mem_strdup(url);
    link_init(&c->link, emit);
    return c;
}

void connection_destroy(struct connection *c)
{
    link_fini(&c->link);
    free(c->slots);
    free(c->url);
    free(c);
}

int connection_open(struct connection *c, struct nrpc_status *st)
{
    char what[300];
    const struct nrpc_channel_options *o = &c->channel->options;
    snprintf(what, sizeof what, "cannot open a channel to %s", c->url);
    int rv = nng_req0_open_raw(&c->socket);
    if (rv)
        return transport_error(st, rv, what);
    c->open = true;
    int code = transport_tune(c->socket, o->max_message_bytes, SEND_QUEUE, st);
    if (code == NRPC_OK && ((rv = nng_aio_alloc(&c->receive_aio, received, c)) ||
                            (rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_ADD_POST, connected, c)) ||
                            (rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_REM_POST, disconnected, c)) ||
                            (rv = nng_dialer_create(&c->dialer, c->socket, c->url))))
        code = transport_error(st, rv, what);
    if (code == NRPC_OK)
        code = tls_dialer(c->dialer, c->url, o->tls, st);
    if (code)
        return code;
    (void)nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMINT, (nng_duration)o->reconnect_min_ms);
    (void)nng_dialer_set_ms(c->dialer, NNG_OPT_RECONNMAXT, (nng_duration)o->reconnect_max_ms);
    (void)nng_dialer_set_bool(c->dialer, NNG_OPT_TCP_KEEPALIVE, true); // not every transport has it
    if ((rv = nng_dialer_start(c->dialer, NNG_FLAG_NONBLOCK)))
        return transport_error(st, rv, what);
    nng_recv_aio(c->socket, c->receive_aio);
    return NRPC_OK;
}

void connection_connect_local(struct connection *c, struct nrpc_server *server)
{
    c->local = server_connect_local(server, c->channel);
    c->pipe = 1;
}

bool connection_close(struct connection *c)
{
    if (c->local) {
        server_disconnect_local(c->local);
        return true;
    }
    if (!c->open)
        return true;
    c->open = false;
    return transport_close(c->socket, c->receive_aio, NULL);
}
