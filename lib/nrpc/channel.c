// SPDX-License-Identifier: Apache-2.0
// channel.c: the client's side of a connection: numbers calls, matches answers, keeps deadlines, reconnects.
//
// A raw REQ socket with one dialer carries all calls of a channel. At most 64 are on the wire at once, each
// in a slot whose number is part of its request id (the server's REP socket queues just 64 answers per
// connection and drops more); the rest wait in line. Everything is guarded by one mutex. What must happen
// without it (sending, callbacks) is gathered in `effects` and carried out after it was given back.
#include "nrpc/nrpc.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/wait.h"
#include "nrpc/local.h"
#include "nrpc/transport.h"

#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SLOTS = 64,
    SLOT_BITS = 6,
    QUEUE = 2 * SLOTS,
    RECONNECT_MIN_MS = 20,
    RECONNECT_MAX_MS = 1000,
    NEVER_MS = 3600000
};

struct pending {          // a call that has not ended
    struct pending *next; // in the waiting line, or among the effects
    const struct nrpc_method *method;
    nng_msg *msg; // the request until it is sent
    nng_msg *reply;
    struct nrpc_status st;
    int64_t deadline_us, connect_by_us; // CLOCK_NEVER: none
    int slot;                           // -1: waiting in line
    nrpc_done_fn done;                  // NULL: a thread waits on `ended`
    void *user;
    pthread_cond_t *ended;
    bool has_ended;
};

struct nrpc_channel {
    pthread_mutex_t mu;
    pthread_cond_t quiet;
    _Atomic int refs; // the owner's, and one a call under way on a local channel
    struct nrpc_channel_options options;
    char *url;
    nng_socket socket;
    nng_dialer dialer;
    nng_aio *receive_aio, *timer_aio;
    struct nrpc_server *local; // instead of the socket
    struct pending *slots[SLOTS];
    uint32_t slot_ids[SLOTS];
    uint64_t free_slots; // a bit each
    uint32_t next_id;
    struct pending *line, **line_tail;
    unsigned line_length;
    int pipe; // the connection; 0: none
    int64_t timer_at_us;
    unsigned callbacks; // callbacks and blocking calls that are inside the channel now
    bool closing;
    bool leaving; // the server is about to close the connection: nothing more is sent over it
};

struct effects {
    struct pending *done;
    struct {
        nng_msg *msg;
        uint32_t id;
    } send[SLOTS];
    size_t send_count;
};

// ---- under the mutex

static void end_call(struct nrpc_channel *ch, struct pending *p, struct effects *fx)
{
    if (p->slot >= 0) {
        ch->slots[p->slot] = NULL;
        ch->free_slots |= 1ull << p->slot;
        p->slot = -1;
    }
    nng_msg_free(p->msg);
    p->msg = NULL;
    if (p->done) {
        p->next = fx->done;
        fx->done = p;
    } else {
        p->has_ended = true;
        pthread_cond_signal(p->ended);
    }
}

static void leave_line(struct nrpc_channel *ch, struct pending **at)
{
    struct pending *p = *at;
    *at = p->next;
    if (ch->line_tail == &p->next)
        ch->line_tail = at;
    ch->line_length--;
}

// Puts calls from the line on the wire while there is a connection and a free slot.
static void pump(struct nrpc_channel *ch, struct effects *fx)
{
    while (ch->line && ch->pipe && !ch->closing && !ch->leaving && ch->free_slots && fx->send_count < SLOTS) {
        struct pending *p = ch->line;
        leave_line(ch, &ch->line);
        p->slot = __builtin_ctzll(ch->free_slots);
        ch->free_slots &= ~(1ull << p->slot);
        ch->slots[p->slot] = p;
        uint32_t id = transport_sp_id(ch->next_id++ << SLOT_BITS | (uint32_t)p->slot);
        if (id == transport_sp_id(0)) // after 2^25 calls: that id is taken
            id = transport_sp_id(ch->next_id++ << SLOT_BITS);
        ch->slot_ids[p->slot] = id;
        fx->send[fx->send_count].msg = p->msg;
        fx->send[fx->send_count++].id = id;
        p->msg = NULL;
    }
}

static int64_t wake_at(const struct nrpc_channel *ch, const struct pending *p)
{
    bool waits_for_connection = p->slot < 0 && !ch->pipe;
    return waits_for_connection && p->connect_by_us < p->deadline_us ? p->connect_by_us : p->deadline_us;
}

static void set_overdue(const struct nrpc_channel *ch, struct pending *p)
{
    if (p->slot < 0 && !ch->pipe)
        status_set(&p->st, wake_at(ch, p) == p->deadline_us ? NRPC_DEADLINE_EXCEEDED : NRPC_UNAVAILABLE,
                   "no connection to %s", ch->url);
    else
        status_set(&p->st, NRPC_DEADLINE_EXCEEDED, "%s: no answer from %s within the deadline",
                   p->method->name, ch->url);
}

// Ends what is overdue; returns when the next asynchronous call will be.
static int64_t expire(struct nrpc_channel *ch, int64_t now_us, struct effects *fx)
{
    int64_t next_us = CLOCK_NEVER;
    for (int i = 0; i < SLOTS; i++) {
        struct pending *p = ch->slots[i];
        if (!p || !p->done)
            continue;
        if (p->deadline_us <= now_us) {
            set_overdue(ch, p);
            end_call(ch, p, fx);
        } else if (p->deadline_us < next_us) {
            next_us = p->deadline_us;
        }
    }
    for (struct pending **at = &ch->line; *at;) {
        struct pending *p = *at;
        int64_t wake_us = wake_at(ch, p);
        if (p->done && wake_us <= now_us) {
            leave_line(ch, at);
            set_overdue(ch, p);
            end_call(ch, p, fx);
            continue;
        }
        if (p->done && wake_us < next_us)
            next_us = wake_us;
        at = &p->next;
    }
    return next_us;
}

static void end_all(struct nrpc_channel *ch, bool line_too, int code, const char *text, struct effects *fx)
{
    for (int i = 0; i < SLOTS; i++)
        if (ch->slots[i]) {
            status_set(&ch->slots[i]->st, code, "%s: %s", ch->url, text);
            end_call(ch, ch->slots[i], fx);
        }
    while (line_too && ch->line) {
        struct pending *p = ch->line;
        leave_line(ch, &ch->line);
        status_set(&p->st, code, "%s: %s", ch->url, text);
        end_call(ch, p, fx);
    }
}

// Makes sure that the timer rings by next_us.
static void arm_timer(struct nrpc_channel *ch, int64_t next_us)
{
    if (!ch->timer_aio || ch->closing || next_us >= ch->timer_at_us)
        return;
    bool was_armed = ch->timer_at_us != CLOCK_NEVER;
    ch->timer_at_us = next_us;
    if (was_armed)
        nng_aio_cancel(ch->timer_aio); // its callback arms it again
    else
        nng_sleep_aio((nng_duration)((next_us - clock_mono_us()) / 1000 + 1), ch->timer_aio);
}

// ---- answers

static struct nrpc_status read_status(const struct frame *f)
{
    struct nrpc_status st = {.code = (int)f->status};
    size_t n = f->status_text.size < sizeof st.text - 1 ? f->status_text.size : sizeof st.text - 1;
    if (n)
        memcpy(st.text, f->status_text.data, n);
    return st;
}

// Turns the answer's bytes into the call's outcome; the message comes from the allocator.
static ProtobufCMessage *read_reply(struct pending *p, ProtobufCAllocator *allocator)
{
    struct frame f;
    if (!p->reply)
        return NULL;
    if (frame_parse(nng_msg_body(p->reply), nng_msg_len(p->reply), &f, &p->st))
        return NULL;
    if (f.version != NRPC_WIRE_VERSION || f.kind != FRAME_RESPONSE) {
        status_set(&p->st, NRPC_INTERNAL, "%s: frame version %u kind %u is no answer", p->method->name,
                   f.version, f.kind);
        return NULL;
    }
    p->st = read_status(&f);
    if (p->st.code != NRPC_OK)
        return NULL;
    ProtobufCMessage *m = f.payload_count == 1 ? protobuf_c_message_unpack(p->method->response, allocator,
                                                                           f.payload.size, f.payload.data)
                                               : NULL;
    if (!m)
        status_set(&p->st, NRPC_INTERNAL, "%s: the answer is no %s", p->method->name,
                   p->method->response->name);
    return m;
}

// ---- effects, without the mutex

static void send_request(struct nrpc_channel *ch, nng_msg *msg, uint32_t id)
{
    if (ch->local) {
        atomic_fetch_add(&ch->refs, 1);
        server_receive_local(ch->local, msg, ch, id);
    } else if (nng_msg_header_append_u32(msg, id) || nng_sendmsg(ch->socket, msg, NNG_FLAG_NONBLOCK)) {
        // Full only when the connection is going: its end ends the call.
        nng_msg_free(msg);
    }
}

static void run_done(struct nrpc_channel *ch, struct pending *p)
{
    struct arena a;
    arena_init(&a, 8 * ch->options.max_message_bytes);
    ProtobufCMessage *response = read_reply(p, &a.allocator);
    p->done(p->user, &p->st, response);
    arena_fini(&a);
    nng_msg_free(p->reply);
    free(p);
}

static void carry_out(struct nrpc_channel *ch, struct effects *fx)
{
    for (size_t i = 0; i < fx->send_count; i++)
        send_request(ch, fx->send[i].msg, fx->send[i].id);
    while (fx->done) {
        struct pending *p = fx->done;
        fx->done = p->next;
        run_done(ch, p);
    }
}

static void lock(struct nrpc_channel *ch)
{
    pthread_mutex_lock(&ch->mu);
}

static void leave(struct nrpc_channel *ch)
{
    pthread_mutex_lock(&ch->mu);
    if (--ch->callbacks == 0)
        pthread_cond_broadcast(&ch->quiet);
    pthread_mutex_unlock(&ch->mu);
}

// Gives the mutex back and carries out what was gathered.
static void unlock_and(struct nrpc_channel *ch, struct effects *fx)
{
    ch->callbacks++;
    pthread_mutex_unlock(&ch->mu);
    carry_out(ch, fx);
    leave(ch);
}

// ---- what happens on nng's threads

static void take_answer(struct nrpc_channel *ch, nng_msg *msg, uint32_t id)
{
    struct effects fx = {0};
    lock(ch);
    unsigned slot = id & (SLOTS - 1);
    struct pending *p = ch->slots[slot];
    if (p && ch->slot_ids[slot] == id) {
        p->reply = msg;
        end_call(ch, p, &fx);
        pump(ch, &fx);
    } else {
        nng_msg_free(msg); // its call has ended before
    }
    unlock_and(ch, &fx);
}

static void received(void *arg)
{
    struct nrpc_channel *ch = arg;
    int rv = nng_aio_result(ch->receive_aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    nng_msg *msg = rv == 0 ? nng_aio_get_msg(ch->receive_aio) : NULL;
    uint32_t id;
    if (!msg || nng_msg_header_trim_u32(msg, &id)) {
        nng_msg_free(msg);
    } else if (id == transport_sp_id(0)) { // the server's goodbye
        lock(ch);
        ch->leaving = true;
        pthread_mutex_unlock(&ch->mu);
        nng_msg_free(msg);
    } else {
        take_answer(ch, msg, id);
    }
    nng_recv_aio(ch->socket, ch->receive_aio);
}

static void rang(void *arg)
{
    struct nrpc_channel *ch = arg;
    struct effects fx = {0};
    lock(ch);
    ch->timer_at_us = CLOCK_NEVER;
    if (!ch->closing) {
        int64_t next_us = expire(ch, clock_mono_us(), &fx);
        pump(ch, &fx);
        arm_timer(ch, next_us);
    }
    unlock_and(ch, &fx);
}

static void connected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct nrpc_channel *ch = arg;
    struct effects fx = {0};
    lock(ch);
    if (ch->closing)
        nng_pipe_close(pipe);
    else
        ch->pipe = nng_pipe_id(pipe);
    ch->leaving = false;
    pump(ch, &fx);
    unlock_and(ch, &fx);
}

static void disconnected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct nrpc_channel *ch = arg;
    struct effects fx = {0};
    lock(ch);
    if (ch->pipe == nng_pipe_id(pipe)) {
        ch->pipe = 0;
        pthread_cond_broadcast(&ch->quiet);
        end_all(ch, false, NRPC_UNAVAILABLE, "the connection was lost", &fx);
        int64_t connect_by_us = clock_mono_us() + ch->options.connect_timeout_ms * 1000;
        for (struct pending *p = ch->line; p; p = p->next)
            if (p->connect_by_us != CLOCK_NEVER)
                p->connect_by_us = connect_by_us;
        arm_timer(ch, expire(ch, clock_mono_us(), &fx));
    }
    unlock_and(ch, &fx);
}

// ---- opening and closing

static struct nrpc_channel *channel_new(const char *url, const struct nrpc_channel_options *options)
{
    struct nrpc_channel *ch = mem_calloc(1, sizeof *ch);
    pthread_mutex_init(&ch->mu, NULL);
    wait_cond_init(&ch->quiet);
    ch->refs = 1;
    if (options)
        ch->options = *options;
    struct nrpc_channel_options *o = &ch->options;
    o->max_message_bytes = o->max_message_bytes ? o->max_message_bytes : NRPC_DEFAULT_MAX_MESSAGE;
    o->max_outstanding = o->max_outstanding ? o->max_outstanding : SLOTS;
    o->max_waiting = o->max_waiting ? o->max_waiting : 4096;
    o->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 2000;
    ch->free_slots = o->max_outstanding >= SLOTS ? UINT64_MAX : (1ull << o->max_outstanding) - 1;
    ch->url = mem_strdup(url);
    ch->line_tail = &ch->line;
    ch->timer_at_us = CLOCK_NEVER;
    ch->next_id = 1;
    return ch;
}

static void channel_unref(struct nrpc_channel *ch)
{
    if (atomic_fetch_sub(&ch->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&ch->mu);
    pthread_cond_destroy(&ch->quiet);
    free(ch->url);
    free(ch);
}

void channel_receive_local(struct nrpc_channel *ch, nng_msg *msg, uint32_t id)
{
    take_answer(ch, msg, id);
    channel_unref(ch);
}

static int open_socket(struct nrpc_channel *ch, struct nrpc_status *st)
{
    char what[300];
    snprintf(what, sizeof what, "cannot open a channel to %s", ch->url);
    int rv = nng_req0_open_raw(&ch->socket);
    if (rv)
        return transport_error(st, rv, what);
    int code = transport_tune(ch->socket, ch->options.max_message_bytes, QUEUE, st);
    if (code == NRPC_OK && ((rv = nng_aio_alloc(&ch->receive_aio, received, ch)) ||
                            (rv = nng_aio_alloc(&ch->timer_aio, rang, ch)) ||
                            (rv = nng_pipe_notify(ch->socket, NNG_PIPE_EV_ADD_POST, connected, ch)) ||
                            (rv = nng_pipe_notify(ch->socket, NNG_PIPE_EV_REM_POST, disconnected, ch)) ||
                            (rv = nng_dialer_create(&ch->dialer, ch->socket, ch->url))))
        code = transport_error(st, rv, what);
    if (code)
        return code;
    (void)nng_dialer_set_ms(ch->dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    (void)nng_dialer_set_ms(ch->dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    (void)nng_dialer_set_bool(ch->dialer, NNG_OPT_TCP_KEEPALIVE, true); // not every transport has it
    if ((rv = nng_dialer_start(ch->dialer, NNG_FLAG_NONBLOCK)))
        return transport_error(st, rv, what);
    nng_recv_aio(ch->socket, ch->receive_aio);
    return NRPC_OK;
}

int nrpc_channel_open(const char *url, const struct nrpc_channel_options *options, struct nrpc_channel **out,
                      struct nrpc_status *st)
{
    *out = NULL;
    if (!strstr(url, "://"))
        return status_set(st, NRPC_INVALID_ARGUMENT, "\"%s\" is no url like tcp://host:port", url);
    struct nrpc_channel *ch = channel_new(url, options);
    int code = open_socket(ch, st);
    if (code)
        nrpc_channel_close(ch);
    else
        *out = ch;
    return code;
}

struct nrpc_channel *nrpc_channel_local(struct nrpc_server *server)
{
    struct nrpc_channel *ch = channel_new("local", NULL);
    ch->local = server;
    ch->pipe = 1;
    return ch;
}

// See transport_goodbye.
static void say_goodbye(struct nrpc_channel *ch)
{
    struct timespec until = wait_until(TRANSPORT_LINGER_MS);
    // No new connection in place of the old one.
    (void)nng_dialer_set_ms(ch->dialer, NNG_OPT_RECONNMAXT, NEVER_MS);
    (void)nng_dialer_set_ms(ch->dialer, NNG_OPT_RECONNMINT, NEVER_MS);
    lock(ch);
    nng_msg *msg = ch->pipe ? transport_goodbye() : NULL;
    if (msg && (nng_msg_header_append_u32(msg, transport_sp_id(0)) ||
                nng_sendmsg(ch->socket, msg, NNG_FLAG_NONBLOCK)))
        nng_msg_free(msg);
    while (ch->pipe && pthread_cond_timedwait(&ch->quiet, &ch->mu, &until) == 0)
        ;
    pthread_mutex_unlock(&ch->mu);
}

void nrpc_channel_close(struct nrpc_channel *ch)
{
    if (!ch)
        return;
    struct effects fx = {0};
    lock(ch);
    ch->closing = true;
    end_all(ch, true, NRPC_CANCELLED, "the channel was closed", &fx);
    unlock_and(ch, &fx);
    if (!ch->local) {
        say_goodbye(ch);
        nng_aio_free(ch->timer_aio);
        ch->timer_aio = NULL;
        if (!transport_close(ch->socket, ch->receive_aio))
            atomic_fetch_add(&ch->refs, 1); // nng may still call back: the channel stays
    }
    lock(ch);
    while (ch->callbacks)
        pthread_cond_wait(&ch->quiet, &ch->mu);
    pthread_mutex_unlock(&ch->mu);
    channel_unref(ch);
}

bool nrpc_channel_is_connected(const struct nrpc_channel *channel)
{
    struct nrpc_channel *ch = (struct nrpc_channel *)channel;
    lock(ch);
    bool is = ch->pipe != 0;
    pthread_mutex_unlock(&ch->mu);
    return is;
}

// ---- calls

static int prepare(struct nrpc_channel *ch, struct pending *p, const struct nrpc_call_options *o,
                   const ProtobufCMessage *request)
{
    static const struct nrpc_call_options none;
    o = o ? o : &none;
    int code = frame_check_metadata(o->metadata, o->metadata_count, &p->st);
    if (code)
        return code;
    int64_t now_us = clock_mono_us();
    p->slot = -1;
    p->deadline_us = o->timeout_ms > 0 ? now_us + o->timeout_ms * 1000 : CLOCK_NEVER;
    p->connect_by_us = o->wait_for_ready ? CLOCK_NEVER : now_us + ch->options.connect_timeout_ms * 1000;
    struct frame f = {
        .version = NRPC_WIRE_VERSION,
        .kind = FRAME_REQUEST,
        .method = {(const uint8_t *)p->method->name, strlen(p->method->name)},
        .timeout_us = o->timeout_ms > 0 ? (uint64_t)o->timeout_ms * 1000 : 0,
        .metadata = o->metadata,
        .metadata_count = (uint32_t)o->metadata_count,
    };
    return transport_encode(&f, request, ch->options.max_message_bytes, &p->msg, &p->st);
}

static void start(struct nrpc_channel *ch, struct pending *p, struct effects *fx)
{
    if (ch->closing || ch->line_length >= ch->options.max_waiting) {
        if (ch->closing)
            status_set(&p->st, NRPC_CANCELLED, "%s: the channel was closed", ch->url);
        else
            status_set(&p->st, NRPC_RESOURCE_EXHAUSTED, "%s: %u calls wait in line already", ch->url,
                       ch->line_length);
        end_call(ch, p, fx);
        return;
    }
    p->next = NULL;
    *ch->line_tail = p;
    ch->line_tail = &p->next;
    ch->line_length++;
    pump(ch, fx);
    if (p->done)
        arm_timer(ch, wake_at(ch, p));
}

static void wait_for_end(struct nrpc_channel *ch, struct pending *p)
{
    struct effects fx = {0};
    while (!p->has_ended) {
        int64_t at_us = wake_at(ch, p);
        struct timespec until = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
        if (at_us == CLOCK_NEVER)
            pthread_cond_wait(p->ended, &ch->mu);
        else
            pthread_cond_timedwait(p->ended, &ch->mu, &until);
        if (p->has_ended || clock_mono_us() < wake_at(ch, p))
            continue;
        for (struct pending **at = &ch->line; p->slot < 0 && *at; at = &(*at)->next)
            if (*at == p) {
                leave_line(ch, at);
                break;
            }
        set_overdue(ch, p);
        end_call(ch, p, &fx);
        pump(ch, &fx);
    }
    unlock_and(ch, &fx);
}

int nrpc_call_unary(struct nrpc_channel *ch, const struct nrpc_method *method,
                    const struct nrpc_call_options *options, const ProtobufCMessage *request,
                    ProtobufCMessage **response, struct nrpc_status *st)
{
    pthread_cond_t ended;
    wait_cond_init(&ended);
    struct pending p = {.method = method, .ended = &ended};
    ProtobufCMessage *m = NULL;
    if (prepare(ch, &p, options, request) == NRPC_OK) {
        struct effects fx = {0};
        lock(ch);
        ch->callbacks++;
        start(ch, &p, &fx);
        unlock_and(ch, &fx);
        lock(ch);
        wait_for_end(ch, &p);
        leave(ch);
        m = read_reply(&p, NULL);
        nng_msg_free(p.reply);
    }
    pthread_cond_destroy(&ended);
    if (st)
        *st = p.st;
    if (response)
        *response = m;
    else if (m)
        protobuf_c_message_free_unpacked(m, NULL);
    return p.st.code;
}

void nrpc_call_async(struct nrpc_channel *ch, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     nrpc_done_fn done, void *user)
{
    struct pending *p = mem_calloc(1, sizeof *p);
    p->method = method;
    p->done = done;
    p->user = user;
    if (prepare(ch, p, options, request)) {
        run_done(ch, p);
        return;
    }
    struct effects fx = {0};
    lock(ch);
    start(ch, p, &fx);
    unlock_and(ch, &fx);
}
