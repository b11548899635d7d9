// SPDX-License-Identifier: Apache-2.0
// connection.c: one connection of a channel, and the calls on the wire.
//
// A call's wire id is the number of its slot with a generation above it, so that an answer finds its call
// without a search, and a late one finds none. The dialer connects again by itself, with backoff and jitter.
#include "nrpc/channel.h"

#include "base/clock.h"
#include "nrpc/transport.h"

#include <stdio.h>
#include <stdlib.h>

enum { AVOID_MS = 1000, SLOTS_MIN = 64 };

// ---- sending

static struct connection *connection_of(struct link *link)
{
    return (struct connection *)((char *)link - offsetof(struct connection, link));
}

static void emit(struct link *link, nng_msg *msg, uint32_t id, bool urgent)
{
    struct connection *c = connection_of(link);
    if (!msg && c->pipe)
        sp_close(c->pipe);
    if (!msg)
        return;
    if (c->local)
        channel_errand(c->channel, msg, id);
    else
        sp_send(c->pipe, msg, id, urgent);
}

// Calls in line go when the message that made room was looked at.
static void has_room(struct link *link)
{
    struct connection *c = connection_of(link);
    for (size_t i = 0; i < c->slot_count; i++)
        if (c->slots[i].call && c->slots[i].call->kind == PENDING_STREAM)
            channel_ready((struct nrpc_stream *)c->slots[i].call);
}

static struct pending *find_call(const struct connection *c, uint32_t id)
{
    uint32_t slot = id & (CHANNEL_SLOTS_MAX - 1);
    return slot < c->slot_count && c->slots[slot].wire_id == id ? c->slots[slot].call : NULL;
}

static void write_timeout(const struct pending *p, nng_msg *msg)
{
    if (p->deadline_us == CLOCK_NEVER)
        return;
    int64_t left_us = p->deadline_us - clock_mono_us();
    frame_set_timeout(nng_msg_body(msg), left_us > 0 ? (uint64_t)left_us : 1);
}

// A request that was held goes with the time that remains now, or, if its call has ended meanwhile, not at
// all.
static bool is_wanted(struct link *link, nng_msg *msg, uint32_t id)
{
    const struct pending *p = find_call(connection_of(link), id);
    if (id == LINK_CONNECTION_ID || frame_kind_of(nng_msg_body(msg)) != FRAME_REQUEST)
        return true;
    if (p)
        write_timeout(p, msg);
    return p != NULL;
}

static const struct link link_model = {.emit = emit, .is_wanted = is_wanted, .has_room = has_room};

// ---- slots

// The slot that is free for the longest time, and of some number of slots, so that an id comes again only
// after tens of millions of calls: by then no frame of the old call is on its way.
static uint32_t take_slot(struct connection *c)
{
    if (!c->free_slot || c->slot_count < SLOTS_MIN) {
        mem_grow(&c->slots, &c->slot_capacity, c->slot_count + 1, sizeof *c->slots);
        c->slots[c->slot_count] = (struct slot){0};
        return (uint32_t)c->slot_count++;
    }
    uint32_t index = c->free_slot - 1;
    c->free_slot = c->slots[index].next_free;
    c->slots[index].next_free = 0;
    return index;
}

static void give_slot_back(struct connection *c, uint32_t index)
{
    struct slot *s = &c->slots[index];
    *s = (struct slot){.generation = s->generation};
    *(c->free_slot ? &c->slots[c->last_free_slot - 1].next_free : &c->free_slot) = index + 1;
    c->last_free_slot = index + 1;
}

// Keeps the request of a call that may be sent again.
static void keep_request(const struct connection *c, struct pending *p)
{
    p->attempts++;
    if (c->local || p->kind == PENDING_STREAM || !p->method->idempotent)
        return;
    transport_share(p->msg);
    p->again = p->msg;
}

static void send_request(struct connection *c, struct pending *p)
{
    nng_msg *msg = p->msg;
    p->msg = NULL;
    link_send(&c->link, msg, p->wire_id);
}

void connection_place(struct connection *c, struct pending *p)
{
    p->connection = c;
    p->slot = take_slot(c);
    do
        p->wire_id = transport_sp_id(++c->slots[p->slot].generation << CHANNEL_SLOT_BITS | p->slot);
    while (p->wire_id == LINK_CONNECTION_ID);
    c->slots[p->slot].call = p;
    c->slots[p->slot].wire_id = p->wire_id;
    if (c->outstanding++ == 0)
        c->busy_since_us = clock_mono_us(); // the silence before does not count
    if (p->quiet_ms) {
        c->quiet_ms = !c->quiet || p->quiet_ms < c->quiet_ms ? p->quiet_ms : c->quiet_ms;
        c->quiet++;
    }
    write_timeout(p, p->msg);
    keep_request(c, p);
    if (p->kind == PENDING_STREAM)
        flow_connect(&((struct nrpc_stream *)p)->flow, &c->link, p->wire_id);
    send_request(c, p);
    if (p->kind == PENDING_STREAM)
        stream_placed((struct nrpc_stream *)p);
}

void connection_release(struct connection *c, struct pending *p)
{
    give_slot_back(c, p->slot);
    c->outstanding--;
    c->quiet -= p->quiet_ms != 0;
    p->connection = NULL;
    if (p->kind == PENDING_STREAM)
        flow_disconnect(&((struct nrpc_stream *)p)->flow);
    if ((c->leaving || c->going) && !c->outstanding)
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
    if (!c->pipe || c->link.said_goodbye)
        return;
    link_say(&c->link, FRAME_GOODBYE);
    c->goodbye_by_us = clock_mono_us() + TRANSPORT_GOODBYE_MS * 1000;
    channel_arm(c->channel, c->goodbye_by_us);
}

// ---- receiving

// It may have taken calls until now.
static void stop_using(struct connection *c)
{
    bool was_used = c->connected && !c->leaving && !c->going;
    c->leaving = true;
    if (was_used)
        endpoints_lost(c->channel, c);
}

static void take_goodbye(struct connection *c)
{
    if (c->link.said_goodbye) {
        sp_close(c->pipe); // both have said it
        return;
    }
    stop_using(c);
    connection_fail_all(c, NRPC_UNAVAILABLE, "the server closes");
    connection_say_goodbye(c);
}

static void take_connection_frame(struct connection *c, const struct frame *f)
{
    if (f->kind == FRAME_PING) {
        link_say(&c->link, FRAME_ACK);
    } else if (f->kind == FRAME_DRAIN) {
        if (!c->local) // there is no other way to a server of this process: it refuses the calls itself
            endpoints_let_go(c, true);
    } else if (f->kind == FRAME_GOODBYE) {
        take_goodbye(c);
    }
}

static void praise(struct connection *c)
{
    if (c->useful)
        return;
    c->useful = true;
    if (c->dialer)
        sp_dialer_praise(c->dialer);
}

static void take_response(struct connection *c, struct pending *p, nng_msg *msg, const struct frame *f)
{
    if (f->status == NRPC_UNAVAILABLE && f->not_begun && channel_send_elsewhere(c->channel, p)) {
        nng_msg_free(msg);
        return;
    }
    praise(c);
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
    struct pending *p = find_call(c, id);
    if (!p) { // it has ended before
        nng_msg_free(msg);
        if (f->kind == FRAME_MESSAGE)
            link_say_of(&c->link, FRAME_CANCEL, id);
    } else if (f->kind > FRAME_BATCH &&
               f->version == NRPC_WIRE_VERSION) { // of a later minor version: not ours
        nng_msg_free(msg);
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
    link_heard(&c->link, &f);
    if (id == LINK_CONNECTION_ID && f.kind == FRAME_BATCH)
        take_batch(c, msg, &f);
    else
        take_one(c, msg, &f, id);
    channel_pump(c->channel);
    link_acknowledge(&c->link);
    channel_unlock(c->channel);
}

static void received(void *owner, struct sp_pipe *pipe, nng_msg *msg, uint32_t id)
{
    (void)pipe;
    take_message(owner, msg, id);
}

void channel_receive_local(struct nrpc_channel *ch, nng_msg *msg, uint32_t id)
{
    take_message(ch->connections[0], msg, id);
}

// ---- coming and going

static void opened(void *owner, struct sp_pipe *pipe)
{
    struct connection *c = owner;
    struct nrpc_channel *ch = c->channel;
    channel_lock(ch);
    if (ch->closing) { // it came too late; nobody says anything over it, and it is closed with the dialer
        channel_unlock(ch);
        return;
    }
    c->pipe = pipe;
    c->connected = true;
    c->leaving = c->useful = false;
    c->opened_us = clock_mono_us();
    c->goodbye_by_us = CLOCK_NEVER;
    c->avoid_until_us = 0;
    link_fini(&c->link);
    link_init(&c->link, &link_model);
    ch->stats.connects++;
    if (c->going)
        connection_say_goodbye(c);
    channel_pump(ch);
    channel_unlock(ch);
}

static void closed(void *owner, struct sp_pipe *pipe)
{
    struct connection *c = owner;
    struct nrpc_channel *ch = c->channel;
    channel_lock(ch);
    if (c->pipe == pipe) {
        stop_using(c);
        c->pipe = NULL;
        c->connected = false;
        ch->stats.disconnects++;
        c->link.said_goodbye = true; // nothing more over this one
        connection_fail_all(c, NRPC_UNAVAILABLE, "the connection was lost");
        if (c->going)
            channel_arm(ch, 0); // it is removed
        pthread_cond_broadcast(&ch->quiet);
    }
    channel_unlock(ch);
}

int64_t connection_heard_us(const struct connection *c)
{
    int64_t heard_us = c->pipe ? sp_heard_us(c->pipe) : 0;
    return heard_us > c->busy_since_us ? heard_us : c->busy_since_us;
}

int64_t connection_keepalive_ms(const struct connection *c)
{
    bool is_quiet = c->quiet && c->quiet == c->outstanding && c->quiet_ms > c->channel->options.keepalive_ms;
    return is_quiet ? c->quiet_ms : c->channel->options.keepalive_ms;
}

int64_t connection_tick(struct connection *c, int64_t now_us)
{
    const struct nrpc_channel_options *o = &c->channel->options;
    if (c->pipe && now_us >= c->goodbye_by_us)
        sp_close(c->pipe);
    if (!c->pipe || c->link.said_goodbye)
        return c->pipe && now_us < c->goodbye_by_us ? c->goodbye_by_us : CLOCK_NEVER;
    if (o->keepalive_ms <= 0 || !c->outstanding)
        return CLOCK_NEVER;
    int64_t heard_us = connection_heard_us(c), ask_us = heard_us + connection_keepalive_ms(c) * 1000;
    if (now_us < ask_us)
        return ask_us;
    if (c->asked_us <= heard_us) {
        c->asked_us = now_us;
        link_say(&c->link, FRAME_PING);
    }
    int64_t end_us = c->asked_us + o->keepalive_timeout_ms * 1000;
    if (now_us < end_us)
        return end_us;
    connection_fail_all(c, NRPC_UNAVAILABLE, "the server gives no sign of life");
    sp_close(c->pipe);
    return CLOCK_NEVER;
}

// A message over our limit ends its call, and no other; tried again, it would be the same.
static bool too_long(void *owner, struct sp_pipe *pipe, uint32_t id, uint64_t bytes)
{
    static const struct frame unread = {.version = NRPC_WIRE_VERSION};
    struct connection *c = owner;
    char text[200];
    (void)pipe;
    channel_lock(c->channel);
    link_heard(&c->link, &unread);
    struct pending *p = find_call(c, id);
    if (p) {
        snprintf(text, sizeof text, "%s: a message of %llu bytes from the server is over the limit of %zu",
                 p->method->name, (unsigned long long)bytes, c->channel->options.max_message_bytes);
        channel_cancel(c->channel, p, NRPC_RESOURCE_EXHAUSTED, text);
    }
    link_acknowledge(&c->link);
    channel_unlock(c->channel);
    return id != LINK_CONNECTION_ID;
}

// A long message is arriving: without a word from us its sender could not tell that we live.
static void arriving(void *owner, struct sp_pipe *pipe)
{
    struct connection *c = owner;
    channel_lock(c->channel);
    if (c->pipe == pipe)
        link_say(&c->link, FRAME_ACK);
    channel_unlock(c->channel);
}

// ---- life

struct connection *connection_create(struct nrpc_channel *ch, const char *url)
{
    struct connection *c = mem_calloc(1, sizeof *c);
    c->channel = ch;
    c->url = mem_strdup(url);
    c->open_at_us = c->goodbye_by_us = CLOCK_NEVER;
    link_init(&c->link, &link_model);
    return c;
}

void connection_destroy(struct connection *c)
{
    if (c->local)
        server_release_local(c->local);
    link_fini(&c->link);
    free(c->slots);
    free(c->url);
    free(c);
}

int connection_open(const struct connection *c, struct sp_dialer **out, struct nrpc_status *st)
{
    static const struct sp_events events = {opened, received, closed, arriving, NULL, too_long};
    const struct nrpc_channel_options *o = &c->channel->options;
    const struct sp_options options = {
        .events = &events,
        .owner = (struct connection *)c,
        .max_bytes = o->max_message_bytes + TRANSPORT_FRAME_ROOM,
        .tls = o->tls,
        .reconnect_min_ms = o->reconnect_min_ms,
        .reconnect_max_ms = o->reconnect_max_ms,
        .first_pause_ms = c->pause_ms,
    };
    return sp_dial(c->url, &options, out, st);
}

void connection_connect_local(struct connection *c, struct nrpc_server *server)
{
    c->local = server;
    c->local_id = server_connect_local(server, c->channel);
    c->connected = true;
}

void connection_close(struct connection *c)
{
    if (c->local)
        server_disconnect_local(c->local, c->local_id);
    sp_dialer_close(c->dialer);
    c->dialer = NULL;
}
