// SPDX-License-Identifier: Apache-2.0
// server_requests.c: the frames of calls: begins calls, refuses or runs them, feeds the running ones.
#include "nrpc/server.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RETRY_AFTER_MIN_MS = 10,
    RETRY_AFTER_MAX_MS = 10000,
    PRESSING_MAX = LINK_WINDOW + 16,
    MESSAGE_KEPT_BYTES = 16 * 1024,
};

// ---- running

// The request is unpacked: a large one need not stay twice while its handler lets the call wait.
static void drop_message(struct nrpc_call *c)
{
    size_t count, bytes = nng_msg_len(c->msg);
    if (bytes >= MESSAGE_KEPT_BYTES) {
        (void)nrpc_call_all_metadata(c, &count); // copies it
        nng_msg_free(c->msg);
        c->msg = NULL;
        c->frame = (struct frame){.version = c->frame.version, .kind = c->frame.kind};
        bytes = 0;
    }
    call_weigh(c, bytes + c->arena.used_bytes);
}

static void run(struct nrpc_call *c)
{
    const struct method_entry *e = c->entry;
    const struct nrpc_method *m = e->method;
    if (c->cancelled) {
        atomic_fetch_add(&c->server->refused, 1);
        nrpc_reply_error(c, NRPC_CANCELLED, "the caller gave up before the call could run");
        return;
    }
    if (clock_mono_us() >= c->deadline_us) {
        atomic_fetch_add(&c->server->refused, 1);
        nrpc_reply_error(c, NRPC_DEADLINE_EXCEEDED, "the deadline had passed before the call could run");
        return;
    }
    if (m->client_streams) {
        m->invoke(e->service->handlers, c, NULL, e->service->user);
        return;
    }
    ProtobufCMessage *request = protobuf_c_message_unpack(m->request, &c->arena.allocator,
                                                          c->frame.payload.size, c->frame.payload.data);
    if (request) {
        drop_message(c);
        m->invoke(e->service->handlers, c, request, e->service->user);
    } else
        nrpc_reply_error(c, NRPC_INVALID_ARGUMENT, "cannot read a %s from these %zu bytes", m->request->name,
                         c->frame.payload.size);
}

// Whether it waits until there is room for its answer.
static bool stall(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    if (!atomic_load(&s->full_links))
        return false;
    server_lock(s);
    struct peer *p = c->peer;
    bool is_full = p && p->link.is_full;
    if (is_full) {
        p->pressing = p->stalled ? p->pressing : 0;
        c->next_stalled = NULL;
        *p->stalled_tail = c;
        p->stalled_tail = &c->next_stalled;
        link_withhold(&p->link, true);
    }
    server_unlock(s);
    return is_full;
}

static void run_pooled(struct pool_job *job)
{
    struct nrpc_call *c = (struct nrpc_call *)job;
    struct nrpc_server *s = c->server;
    int64_t begun_us = clock_mono_us();
    atomic_fetch_sub(&s->queued, 1);
    if (stall(c))
        return;
    server_ref(s);
    run(c);
    int64_t mean_us = atomic_load(&s->mean_run_us);
    atomic_store(&s->mean_run_us, mean_us + (clock_mono_us() - begun_us - mean_us) / 8);
    server_unref(s);
}

// ---- refusing

// When a client may try again: when what waits now has been worked off.
static int64_t retry_after_ms(struct nrpc_server *s)
{
    int64_t ms = atomic_load(&s->mean_run_us) * atomic_load(&s->queued) / s->options.workers / 1000;
    return ms < RETRY_AFTER_MIN_MS ? RETRY_AFTER_MIN_MS : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}

static void shed(struct nrpc_call *c, const char *text)
{
    char value[24];
    snprintf(value, sizeof value, "%lld", (long long)retry_after_ms(c->server));
    const struct nrpc_metadata retry_after = {.key = "retry-after-ms", .value = value};
    atomic_fetch_add(&c->server->refused, 1);
    (void)nrpc_call_add_trailer(c, &retry_after, NULL);
    nrpc_reply_error(c, NRPC_RESOURCE_EXHAUSTED, "%s", text);
}

static void dispatch(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    if (c->entry->service->dispatch == NRPC_INLINE) {
        if (!stall(c))
            run(c);
    } else if (atomic_fetch_add(&s->queued, 1) >= s->options.queue_max) {
        atomic_fetch_sub(&s->queued, 1);
        shed(c, "the server has too many calls waiting");
    } else {
        c->job.run = run_pooled;
        pool_post(s->workers, &c->job);
    }
}

// A call that was admitted before: it has its place.
static void run_again(struct nrpc_call *c)
{
    if (c->entry->service->dispatch == NRPC_INLINE) {
        run(c);
    } else {
        atomic_fetch_add(&c->server->queued, 1);
        pool_post(c->server->workers, &c->job);
    }
}

struct peer *requests_resume(struct peer *p)
{
    struct nrpc_server *s = p->server;
    uint32_t peer_id = p->id;
    for (struct nrpc_call *c; p && (c = p->stalled) && !p->link.is_full; p = peer_find(s, peer_id)) {
        p->stalled = c->next_stalled;
        if (!p->stalled) {
            p->stalled_tail = &p->stalled;
            link_withhold(&p->link, false);
            link_acknowledge(&p->link);
        }
        server_unlock(s);
        run_again(c);
        server_lock(s);
    }
    return p;
}

void requests_drop(struct nrpc_call *stalled)
{
    for (struct nrpc_call *c = stalled, *next; c; c = next) {
        next = c->next_stalled;
        run(c); // which finds it cancelled
    }
}

static int run_interceptors(struct nrpc_call *c, struct nrpc_status *st)
{
    const struct nrpc_server *s = c->server;
    int code = NRPC_OK;
    while (code == NRPC_OK && c->intercepted < s->interceptor_count) {
        const struct nrpc_server_interceptor *i = &s->interceptors[c->intercepted++];
        if (i->start)
            code = i->start(i->user, c, st);
    }
    return code;
}

// Looks at a request and runs or refuses it. Without the mutex; takes the call.
static void admit(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    struct nrpc_status st;
    if (c->not_begun) {
        atomic_fetch_add(&s->refused, 1);
        nrpc_reply_error(c, NRPC_UNAVAILABLE, "the server is shutting down");
    } else if (atomic_load(&s->unanswered) > s->options.parked_max) {
        shed(c, "the server has too many calls under way");
    } else if (c->of_connection > s->options.parked_of_connection_max) {
        shed(c, "the connection has too many calls under way");
    } else if (c->bytes < atomic_load(&s->parked_bytes) &&
               atomic_load(&s->parked_bytes) > s->options.parked_bytes_max) {
        shed(c, "the calls under way take too much memory");
    } else if (c->entry->max_running && atomic_load(&c->entry->running) > c->entry->max_running) {
        shed(c, "the method has too many calls under way");
    } else if (run_interceptors(c, &st)) {
        atomic_fetch_add(&s->refused, 1);
        nrpc_reply_status(c, &st);
    } else {
        atomic_fetch_add(&s->started, 1);
        dispatch(c);
    }
}

// ---- beginning

static struct method_entry *find_method(struct nrpc_server *s, struct wire_bytes name)
{
    struct method_entry *e;
    HASH_FIND(hh, s->methods, name.data, name.size, e);
    return e;
}

// What is wrong with a request as a message; the rest is admit's.
static int check(const struct nrpc_call *c, struct nrpc_status *st)
{
    const struct frame *f = &c->frame;
    if (f->version != NRPC_WIRE_VERSION)
        return status_set(st, NRPC_UNIMPLEMENTED, "frame version %u; this server speaks %d", f->version,
                          NRPC_WIRE_VERSION);
    if (f->kind != FRAME_REQUEST)
        return status_set(st, NRPC_UNIMPLEMENTED, "frame kind %u begins no call", f->kind);
    if (!c->entry)
        return status_set(st, NRPC_UNIMPLEMENTED, "unknown method %.*s", (int)f->method.size,
                          (const char *)f->method.data);
    if (!c->entry->method->client_streams && f->payload_count != 1)
        return status_set(st, NRPC_UNIMPLEMENTED, "%s takes one message, and got %u", c->entry->method->name,
                          f->payload_count);
    return NRPC_OK;
}

static void set_up_streams(struct nrpc_call *c)
{
    const struct nrpc_method *m = c->entry->method;
    c->streams = m->client_streams || m->server_streams;
    c->receive_closed = !m->client_streams;
    if (!c->streams)
        return;
    flow_init(&c->flow, FLOW_FIRST_CREDIT, c->frame.credit ? c->frame.credit : FLOW_FIRST_CREDIT);
    flow_connect(&c->flow, &c->peer->link, c->id);
    if (!m->client_streams)
        return;
    flow_read_from(&c->flow, &c->frame);
    flow_widen(&c->flow, (int64_t)c->server->options.stream_window_bytes);
}

// A client that keeps to the protocol sends no more new calls than were on their way.
static void press(struct peer *p)
{
    if (!p->stalled || p->pressed_at == p->link.received)
        return;
    p->pressed_at = p->link.received;
    if (++p->pressing > PRESSING_MAX && p->pipe)
        sp_close(p->pipe);
}

static void begin(struct peer *p, nng_msg *msg, const struct frame *f, const struct nrpc_status *bad,
                  uint32_t id)
{
    struct nrpc_server *s = p->server;
    struct nrpc_call *c = call_new(s);
    struct nrpc_status st;
    press(p);
    c->msg = msg;
    call_insert(c, p, id);
    c->of_connection = p->running;
    call_weigh(c, nng_msg_len(msg));
    int code = bad->code;
    if (f) {
        c->frame = *f;
        c->entry = find_method(s, f->method);
        code = check(c, &st);
    }
    if (c->entry) {
        atomic_fetch_add(&c->entry->running, 1);
        atomic_fetch_add(&c->entry->started, 1);
    }
    if (f && f->timeout_us)
        c->deadline_us =
            c->arrived_us + (int64_t)(f->timeout_us < INT64_MAX / 2 ? f->timeout_us : INT64_MAX / 2);
    bool good = code == NRPC_OK && c->entry;
    c->not_begun =
        good && (atomic_load(&s->refusing) || (atomic_load(&s->draining) && peer_knows_of_drain(p)));
    if (good)
        set_up_streams(c);
    server_unlock(s);
    if (good) {
        admit(c);
    } else {
        bool unknown = f && f->version == NRPC_WIRE_VERSION && f->kind == FRAME_REQUEST && !c->entry;
        atomic_fetch_add(&s->bad_frames, f && !unknown);
        nrpc_reply_status(c, f ? &st : bad);
    }
    server_lock(s);
}

// ---- frames of running calls

static void take_messages(struct nrpc_call *c, nng_msg *msg, const struct frame *f)
{
    if (c->receive_closed)
        call_break(c, NRPC_INVALID_ARGUMENT, "a message after the last");
    else if (flow_receive(&c->flow, msg, f)) {
        call_changed(c);
        return;
    } else
        call_break(c, NRPC_RESOURCE_EXHAUSTED, "more messages than were granted");
    nng_msg_free(msg);
}

static void continue_call(struct nrpc_call *c, nng_msg *msg, const struct frame *f)
{
    if (f->kind == FRAME_MESSAGE && c->streams) {
        take_messages(c, msg, f);
        return;
    }
    if (f->kind == FRAME_CANCEL) {
        call_cancel(c);
    } else if (f->kind == FRAME_HALF_CLOSE && c->streams) {
        c->receive_closed = true;
        call_changed(c);
    } else if (f->kind == FRAME_CREDIT && c->streams) {
        c->flow.credit += f->credit;
        call_changed(c);
    } else {
        atomic_fetch_add(&c->server->bad_frames, 1);
    }
    nng_msg_free(msg);
}

void requests_take(struct peer *p, nng_msg *msg, const struct frame *f, const struct nrpc_status *bad,
                   uint32_t id)
{
    struct nrpc_server *s = p->server;
    struct nrpc_call *c = call_find(s, p->id, id);
    bool of_running_call = f && f->kind >= FRAME_MESSAGE && f->kind <= FRAME_CREDIT;
    if (f && f->kind > FRAME_BATCH && f->version == NRPC_WIRE_VERSION) { // of a later minor version: not ours
        atomic_fetch_add(&s->bad_frames, 1);
        nng_msg_free(msg);
        return;
    }
    if (c && of_running_call) {
        continue_call(c, msg, f);
    } else if (c && !f) {
        call_break(c, bad->code, bad->text);
        nng_msg_free(msg);
    } else if (!c && !of_running_call) {
        begin(p, msg, f, bad, id);
    } else { // a second request for a running call; a frame for one that has ended
        atomic_fetch_add(&s->bad_frames, c != NULL);
        nng_msg_free(msg);
    }
}
