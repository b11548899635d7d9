// SPDX-License-Identifier: Apache-2.0
// server.c: takes requests from a raw REP socket (or a local channel), runs handlers, sends answers.
//
// Raw mode hands over the SP header with each request, and sends to whatever header an answer carries: a call
// can be parked for as long as its handler likes without holding a thread or a context. One receive operation
// is under way at a time, so requests of one connection are looked at in order; NRPC_INLINE handlers run
// right there, NRPC_POOLED ones on the worker threads. A call holds a reference to the server: it may be
// answered after the server was destroyed.
#include "nrpc/nrpc.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/wait.h"
#include "nrpc/local.h"
#include "nrpc/transport.h"

#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

enum { SP_HEADER_MAX = 64, SEND_QUEUE = 4096, FREE_CALLS_MAX = 256, LISTENERS_MAX = 16 };

struct service_entry {
    struct service_entry *next;
    const struct nrpc_service *service;
    enum nrpc_dispatch dispatch;
    const void *handlers;
    void *user;
};

struct method_entry {
    UT_hash_handle hh;
    const struct nrpc_method *method;
    const struct service_entry *service;
};

struct nrpc_call {
    struct pool_job job; // first member
    struct nrpc_server *server;
    const struct method_entry *entry;
    nng_msg *msg; // the request; frame points into it
    struct frame frame;
    struct arena arena;
    int64_t deadline_us; // monotonic; CLOCK_NEVER: none
    uint32_t connection;
    uint8_t sp_header[SP_HEADER_MAX];
    size_t sp_header_size;
    struct nrpc_channel *local; // the answer goes here, under local_id, instead of to the socket
    uint32_t local_id;
    struct nrpc_call *next_free;
};

struct nrpc_server {
    struct nrpc_server_options options;
    _Atomic int refs; // the owner's, and one a call
    struct service_entry *services;
    struct method_entry *methods; // hash by name; only changed before the first listen
    struct pool *workers;
    nng_socket socket;
    bool open;
    nng_aio *receive_aio;
    char *urls[LISTENERS_MAX];
    size_t url_count;
    pthread_mutex_t mu; // guards free_calls, and with `answered` the wait of a drain
    pthread_cond_t answered;
    struct nrpc_call *free_calls;
    unsigned free_count;
    int *pipes, *leaving; // the connections there are; those that said goodbye. Guarded by mu
    size_t pipe_count, pipe_capacity, leaving_capacity;
    _Atomic size_t leaving_count;
    pthread_cond_t pipes_gone;
    _Atomic bool refusing, closed;
    _Atomic unsigned queued, unanswered;
    _Atomic uint64_t started, answers, refused, bad_frames;
};

// ---- life

static void unref(struct nrpc_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (struct nrpc_call *c = s->free_calls, *next; c; c = next) {
        next = c->next_free;
        arena_fini(&c->arena);
        free(c);
    }
    struct method_entry *m, *mtmp;
    HASH_ITER(hh, s->methods, m, mtmp)
    {
        HASH_DEL(s->methods, m);
        free(m);
    }
    for (struct service_entry *e = s->services, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    for (size_t i = 0; i < s->url_count; i++)
        free(s->urls[i]);
    free(s->pipes);
    free(s->leaving);
    pthread_cond_destroy(&s->pipes_gone);
    pthread_mutex_destroy(&s->mu);
    pthread_cond_destroy(&s->answered);
    free(s);
}

struct nrpc_server *nrpc_server_create(const struct nrpc_server_options *options)
{
    struct nrpc_server *s = mem_calloc(1, sizeof *s);
    if (options)
        s->options = *options;
    struct nrpc_server_options *o = &s->options;
    o->workers = o->workers ? (o->workers > 256 ? 256 : o->workers) : 4;
    o->queue_max = o->queue_max ? o->queue_max : 1024;
    o->parked_max = o->parked_max ? o->parked_max : 65536;
    o->max_message_bytes = o->max_message_bytes ? o->max_message_bytes : NRPC_DEFAULT_MAX_MESSAGE;
    s->refs = 1;
    s->workers = pool_create("nrpc-worker", o->workers);
    pthread_mutex_init(&s->mu, NULL);
    wait_cond_init(&s->answered);
    wait_cond_init(&s->pipes_gone);
    return s;
}

int nrpc_server_add(struct nrpc_server *s, const struct nrpc_service *service, enum nrpc_dispatch dispatch,
                    const void *handlers, void *user, struct nrpc_status *st)
{
    if (s->open)
        return status_set(st, NRPC_FAILED_PRECONDITION, "cannot add service %s: the server listens already",
                          service->name);
    for (size_t i = 0; i < service->method_count; i++) {
        const struct nrpc_method *m = &service->methods[i];
        struct method_entry *known;
        HASH_FIND_STR(s->methods, m->name, known);
        if (known)
            return status_set(st, NRPC_ALREADY_EXISTS, "service %s is there already", service->name);
        if (!m->is_handled || !m->is_handled(handlers))
            return status_set(st, NRPC_FAILED_PRECONDITION, "method %s has no handler", m->name);
    }
    struct service_entry *e = mem_calloc(1, sizeof *e);
    *e = (struct service_entry){s->services, service, dispatch, handlers, user};
    s->services = e;
    for (size_t i = 0; i < service->method_count; i++) {
        struct method_entry *m = mem_calloc(1, sizeof *m);
        m->method = &service->methods[i];
        m->service = e;
        HASH_ADD_KEYPTR(hh, s->methods, m->method->name, strlen(m->method->name), m);
    }
    return NRPC_OK;
}

// ---- calls

static struct nrpc_call *call_new(struct nrpc_server *s, nng_msg *msg)
{
    pthread_mutex_lock(&s->mu);
    struct nrpc_call *c = s->free_calls;
    if (c) {
        s->free_calls = c->next_free;
        s->free_count--;
    }
    pthread_mutex_unlock(&s->mu);
    if (!c) {
        c = mem_calloc(1, sizeof *c);
        arena_init(&c->arena, 4 * s->options.max_message_bytes);
    }
    atomic_fetch_add(&s->refs, 1);
    atomic_fetch_add(&s->unanswered, 1);
    c->server = s;
    c->msg = msg;
    c->entry = NULL;
    c->local = NULL;
    c->deadline_us = CLOCK_NEVER;
    return c;
}

static void call_free(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    nng_msg_free(c->msg);
    arena_reset(&c->arena);
    pthread_mutex_lock(&s->mu);
    bool keep = s->free_count < FREE_CALLS_MAX;
    if (keep) {
        c->next_free = s->free_calls;
        s->free_calls = c;
        s->free_count++;
    }
    if (atomic_fetch_sub(&s->unanswered, 1) == 1)
        pthread_cond_broadcast(&s->answered);
    pthread_mutex_unlock(&s->mu);
    if (!keep) {
        arena_fini(&c->arena);
        free(c);
    }
    unref(s);
}

// ---- connections

static void connected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct nrpc_server *s = arg;
    pthread_mutex_lock(&s->mu);
    mem_grow(&s->pipes, &s->pipe_capacity, s->pipe_count + 1, sizeof *s->pipes);
    s->pipes[s->pipe_count++] = nng_pipe_id(pipe);
    pthread_mutex_unlock(&s->mu);
}

static size_t remove_id(int *ids, size_t count, int id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            ids[i--] = ids[--count];
    return count;
}

static void disconnected(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    (void)ev;
    struct nrpc_server *s = arg;
    pthread_mutex_lock(&s->mu);
    s->pipe_count = remove_id(s->pipes, s->pipe_count, nng_pipe_id(pipe));
    s->leaving_count = remove_id(s->leaving, s->leaving_count, nng_pipe_id(pipe));
    if (!s->pipe_count)
        pthread_cond_broadcast(&s->pipes_gone);
    pthread_mutex_unlock(&s->mu);
}

static void take_goodbye(struct nrpc_server *s, int pipe)
{
    pthread_mutex_lock(&s->mu);
    s->leaving_count = remove_id(s->leaving, s->leaving_count, pipe); // it may say so twice
    mem_grow(&s->leaving, &s->leaving_capacity, s->leaving_count + 1, sizeof *s->leaving);
    for (size_t i = 0; i < s->pipe_count; i++)
        if (s->pipes[i] == pipe) // it may be gone already
            s->leaving[s->leaving_count++] = pipe;
    pthread_mutex_unlock(&s->mu);
}

static bool is_leaving(struct nrpc_server *s, int pipe)
{
    bool is = false;
    if (!atomic_load(&s->leaving_count))
        return false;
    pthread_mutex_lock(&s->mu);
    for (size_t i = 0; i < s->leaving_count; i++)
        is |= s->leaving[i] == pipe;
    pthread_mutex_unlock(&s->mu);
    return is;
}

// See transport_goodbye.
static void say_goodbye(struct nrpc_server *s)
{
    struct timespec until = wait_until(TRANSPORT_LINGER_MS);
    pthread_mutex_lock(&s->mu);
    for (size_t i = 0; i < s->pipe_count; i++) {
        nng_msg *msg = transport_goodbye();
        if (msg && (nng_msg_header_append_u32(msg, (uint32_t)s->pipes[i]) ||
                    nng_msg_header_append_u32(msg, transport_sp_id(0)) ||
                    nng_sendmsg(s->socket, msg, NNG_FLAG_NONBLOCK)))
            nng_msg_free(msg);
    }
    while (s->pipe_count && pthread_cond_timedwait(&s->pipes_gone, &s->mu, &until) == 0)
        ;
    pthread_mutex_unlock(&s->mu);
}

// ---- answers

struct late_send { // an answer that found the socket's queue full
    nng_aio *aio;
};

static void late_send_done(void *arg)
{
    struct late_send *late = arg;
    if (nng_aio_result(late->aio))
        nng_msg_free(nng_aio_get_msg(late->aio));
    nng_aio_reap(late->aio);
    free(late);
}

static void send_on_socket(struct nrpc_server *s, nng_msg *msg)
{
    int rv = nng_sendmsg(s->socket, msg, NNG_FLAG_NONBLOCK);
    if (rv == 0)
        return;
    struct late_send *late = mem_alloc(sizeof *late);
    if (rv != NNG_EAGAIN || nng_aio_alloc(&late->aio, late_send_done, late)) {
        nng_msg_free(msg); // the socket is closed: there is nobody to tell
        free(late);
        return;
    }
    nng_aio_set_msg(late->aio, msg);
    nng_send_aio(s->socket, late->aio);
}

static void answer(struct nrpc_call *c, nng_msg *msg)
{
    struct nrpc_server *s = c->server;
    atomic_fetch_add(&s->answers, 1);
    if (c->local) {
        channel_receive_local(c->local, msg, c->local_id);
    } else if (atomic_load(&s->closed) || is_leaving(s, (int)c->connection) ||
               nng_msg_header_append(msg, c->sp_header, c->sp_header_size)) {
        nng_msg_free(msg);
    } else {
        send_on_socket(s, msg);
    }
    call_free(c);
}

void nrpc_reply_status(struct nrpc_call *c, const struct nrpc_status *st)
{
    struct frame f = {
        .version = NRPC_WIRE_VERSION,
        .kind = FRAME_RESPONSE,
        .status = (uint32_t)(st->code ? st->code : NRPC_INTERNAL),
        .status_text = {(const uint8_t *)st->text, strlen(st->text)},
    };
    nng_msg *msg;
    if (transport_encode(&f, NULL, 0, &msg, NULL) == NRPC_OK)
        answer(c, msg);
    else
        call_free(c);
}

void nrpc_reply_error(struct nrpc_call *c, int code, const char *format, ...)
{
    struct nrpc_status st;
    va_list args;
    va_start(args, format);
    status_setv(&st, code, format, args);
    va_end(args);
    nrpc_reply_status(c, &st);
}

void nrpc_reply(struct nrpc_call *c, const ProtobufCMessage *response)
{
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_RESPONSE};
    struct nrpc_status st;
    nng_msg *msg;
    if (transport_encode(&f, response, c->server->options.max_message_bytes, &msg, &st))
        nrpc_reply_status(c, &st);
    else
        answer(c, msg);
}

static void refuse(struct nrpc_call *c, int code, const char *text)
{
    atomic_fetch_add(&c->server->refused, 1);
    nrpc_reply_error(c, code, "%s", text);
}

// ---- requests

static void run(struct nrpc_call *c)
{
    const struct method_entry *e = c->entry;
    if (clock_mono_us() >= c->deadline_us) {
        refuse(c, NRPC_DEADLINE_EXCEEDED, "the deadline had passed before the call could run");
        return;
    }
    ProtobufCMessage *request = protobuf_c_message_unpack(e->method->request, &c->arena.allocator,
                                                          c->frame.payload.size, c->frame.payload.data);
    if (request)
        e->method->invoke(e->service->handlers, c, request, e->service->user);
    else
        nrpc_reply_error(c, NRPC_INVALID_ARGUMENT, "cannot read a %s from these %zu bytes",
                         e->method->request->name, c->frame.payload.size);
}

static void run_pooled(struct pool_job *job)
{
    struct nrpc_call *c = (struct nrpc_call *)job;
    atomic_fetch_sub(&c->server->queued, 1);
    run(c);
}

static void dispatch(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    if (c->entry->service->dispatch == NRPC_INLINE) {
        run(c);
    } else if (atomic_fetch_add(&s->queued, 1) >= s->options.queue_max) {
        atomic_fetch_sub(&s->queued, 1);
        refuse(c, NRPC_RESOURCE_EXHAUSTED, "the server has too many calls waiting");
    } else {
        c->job.run = run_pooled;
        pool_post(s->workers, &c->job);
    }
}

static const struct method_entry *find_method(struct nrpc_server *s, struct frame_bytes name)
{
    struct method_entry *e;
    HASH_FIND(hh, s->methods, name.data, name.size, e);
    return e;
}

// Looks at a request and runs or refuses it. Takes the call.
static void admit(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    struct nrpc_status st;
    struct frame *f = &c->frame;
    if (frame_parse(nng_msg_body(c->msg), nng_msg_len(c->msg), f, &st)) {
        atomic_fetch_add(&s->bad_frames, 1);
        nrpc_reply_status(c, &st);
    } else if (f->version != NRPC_WIRE_VERSION) {
        atomic_fetch_add(&s->bad_frames, 1);
        nrpc_reply_error(c, NRPC_UNIMPLEMENTED, "frame version %u; this server speaks %d", f->version,
                         NRPC_WIRE_VERSION);
    } else if (f->kind == FRAME_GOODBYE && !c->local) {
        take_goodbye(s, (int)c->connection);
        call_free(c);
    } else if (f->kind != FRAME_REQUEST || f->payload_count != 1) {
        atomic_fetch_add(&s->bad_frames, 1);
        nrpc_reply_error(c, NRPC_UNIMPLEMENTED, "frame kind %u with %u payloads is no unary request", f->kind,
                         f->payload_count);
    } else if (!(c->entry = find_method(s, f->method))) {
        nrpc_reply_error(c, NRPC_UNIMPLEMENTED, "unknown method %.*s", (int)f->method.size,
                         (const char *)f->method.data);
    } else if (atomic_load(&s->refusing)) {
        refuse(c, NRPC_UNAVAILABLE, "the server is shutting down");
    } else if (atomic_load(&s->unanswered) > s->options.parked_max) {
        refuse(c, NRPC_RESOURCE_EXHAUSTED, "the server has too many calls under way");
    } else {
        if (f->timeout_us)
            c->deadline_us =
                clock_mono_us() + (int64_t)(f->timeout_us < INT64_MAX / 2 ? f->timeout_us : INT64_MAX / 2);
        atomic_fetch_add(&s->started, 1);
        dispatch(c);
    }
}

static void received(void *arg)
{
    struct nrpc_server *s = arg;
    int rv = nng_aio_result(s->receive_aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    nng_msg *msg = rv == 0 ? nng_aio_get_msg(s->receive_aio) : NULL;
    if (msg && nng_msg_header_len(msg) <= SP_HEADER_MAX) {
        struct nrpc_call *c = call_new(s, msg);
        c->sp_header_size = nng_msg_header_len(msg);
        memcpy(c->sp_header, nng_msg_header(msg), c->sp_header_size);
        c->connection = (uint32_t)nng_msg_get_pipe(msg).id;
        admit(c);
    } else {
        nng_msg_free(msg);
    }
    nng_recv_aio(s->socket, s->receive_aio);
}

void server_receive_local(struct nrpc_server *s, nng_msg *msg, struct nrpc_channel *channel, uint32_t id)
{
    struct nrpc_call *c = call_new(s, msg);
    c->local = channel;
    c->local_id = id;
    c->connection = 0;
    admit(c);
}

// ---- listening

static int open_socket(struct nrpc_server *s, struct nrpc_status *st)
{
    int rv = nng_rep0_open_raw(&s->socket);
    if (rv)
        return transport_error(st, rv, "cannot open a socket");
    int code = transport_tune(s->socket, s->options.max_message_bytes, SEND_QUEUE, st);
    if (code == NRPC_OK && ((rv = nng_aio_alloc(&s->receive_aio, received, s)) ||
                            (rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_POST, connected, s)) ||
                            (rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, disconnected, s))))
        code = transport_error(st, rv, "cannot open a socket");
    if (code) {
        nng_close(s->socket);
        return code;
    }
    s->open = true;
    return NRPC_OK;
}

int nrpc_server_listen(struct nrpc_server *s, const char *url, struct nrpc_status *st)
{
    if (s->url_count == LISTENERS_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "a server can have %d listeners", LISTENERS_MAX);
    bool first = !s->open;
    if (first) {
        int code = open_socket(s, st);
        if (code)
            return code;
    }
    char what[200];
    snprintf(what, sizeof what, "cannot listen on %s", url);
    nng_listener listener;
    int rv = nng_listen(s->socket, url, &listener, 0);
    if (rv == 0)
        s->urls[s->url_count++] = transport_listener_url(listener, url);
    if (first)
        nng_recv_aio(s->socket, s->receive_aio);
    return rv ? transport_error(st, rv, what) : NRPC_OK;
}

const char *nrpc_server_url(struct nrpc_server *s, size_t index)
{
    return index < s->url_count ? s->urls[index] : NULL;
}

size_t nrpc_server_drain(struct nrpc_server *s, int64_t timeout_ms)
{
    atomic_store(&s->refusing, true);
    struct timespec until = wait_until(timeout_ms);
    pthread_mutex_lock(&s->mu);
    while (atomic_load(&s->unanswered) && pthread_cond_timedwait(&s->answered, &s->mu, &until) == 0)
        ;
    pthread_mutex_unlock(&s->mu);
    return atomic_load(&s->unanswered);
}

void nrpc_server_destroy(struct nrpc_server *s)
{
    if (!s)
        return;
    atomic_store(&s->refusing, true);
    pool_destroy(s->workers);
    s->workers = NULL;
    if (s->open) {
        atomic_store(&s->closed, true);
        say_goodbye(s);
        if (!transport_close(s->socket, s->receive_aio))
            atomic_fetch_add(&s->refs, 1); // nng may still call back: the server stays
    }
    unref(s);
}

void nrpc_server_stats(struct nrpc_server *s, struct nrpc_server_stats *out)
{
    *out = (struct nrpc_server_stats){
        .started = s->started,
        .answered = s->answers,
        .refused = s->refused,
        .bad_frames = s->bad_frames,
        .queued = s->queued,
        .unanswered = s->unanswered,
    };
}

// ---- what handlers ask of their call

int64_t nrpc_call_remaining_ms(const struct nrpc_call *c)
{
    if (c->deadline_us == CLOCK_NEVER)
        return INT64_MAX;
    int64_t us = c->deadline_us - clock_mono_us();
    return us > 0 ? (us + 999) / 1000 : 0;
}

uint32_t nrpc_call_connection(const struct nrpc_call *c)
{
    return c->connection;
}

const char *nrpc_call_metadata(const struct nrpc_call *c, const char *key)
{
    struct frame_bytes value = frame_metadata(&c->frame, key);
    if (!value.data)
        return NULL;
    char *text = arena_alloc((struct arena *)&c->arena, value.size + 1);
    if (text) {
        memcpy(text, value.data, value.size);
        text[value.size] = 0;
    }
    return text;
}

const char *nrpc_call_method(const struct nrpc_call *c)
{
    return c->entry->method->name;
}

void *nrpc_call_alloc(struct nrpc_call *c, size_t size)
{
    return arena_alloc(&c->arena, size);
}
