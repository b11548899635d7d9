// SPDX-License-Identifier: Apache-2.0
// call.c: unary calls, blocking and asynchronous; what all calls have in common before they start and after
// they end.
#include "nrpc/channel.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "base/wait.h"
#include "nrpc/trace.h"
#include "nrpc/transport.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- what interceptors see

const struct nrpc_method *nrpc_outgoing_method(const struct nrpc_outgoing *o)
{
    return o->method;
}

const char *nrpc_outgoing_metadata(const struct nrpc_outgoing *o, const char *key)
{
    return nrpc_metadata_find(o->metadata, o->metadata_count, key);
}

int64_t nrpc_outgoing_started_us(const struct nrpc_outgoing *o)
{
    return o->started_us;
}

int nrpc_outgoing_add(struct nrpc_outgoing *o, const struct nrpc_metadata *entry, struct nrpc_status *st)
{
    if (o->metadata_count == FRAME_METADATA_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "metadata over %d entries", FRAME_METADATA_MAX);
    int code = frame_check_metadata(entry, 1, st);
    if (code)
        return code;
    size_t size = entry->value_bytes ? entry->value_bytes : strlen(entry->value);
    char *value = arena_alloc(&o->arena, size + 1);
    memcpy(value, entry->value, size);
    value[size] = 0;
    o->metadata[o->metadata_count++] =
        (struct nrpc_metadata){arena_strdup(&o->arena, entry->key), value, size};
    return NRPC_OK;
}

void nrpc_outgoing_set_value(struct nrpc_outgoing *o, const void *key, void *value)
{
    struct outgoing_value *v = arena_alloc(&o->arena, sizeof *v);
    *v = (struct outgoing_value){o->values, key, value};
    o->values = v;
}

void *nrpc_outgoing_value(const struct nrpc_outgoing *o, const void *key)
{
    for (const struct outgoing_value *v = o->values; v; v = v->next)
        if (v->key == key)
            return v->value;
    return NULL;
}

// ---- before the start

// A trace goes on in the calls that a handler makes, unless they say otherwise.
static int inherit_trace(struct nrpc_outgoing *o, struct nrpc_call *parent, struct nrpc_status *st)
{
    char traceparent[TRACE_SIZE];
    const char *of_parent = nrpc_call_metadata(parent, "traceparent");
    const char *state = nrpc_call_metadata(parent, "tracestate");
    if (nrpc_outgoing_metadata(o, "traceparent") || !trace_child(of_parent, traceparent))
        return NRPC_OK;
    int code = nrpc_outgoing_add(o, &(struct nrpc_metadata){.key = "traceparent", .value = traceparent}, st);
    if (code == NRPC_OK && state)
        code = nrpc_outgoing_add(o, &(struct nrpc_metadata){.key = "tracestate", .value = state}, st);
    return code;
}

static int intercept(struct pending *p, const struct nrpc_call_options *options)
{
    struct nrpc_channel *ch = p->channel;
    struct nrpc_outgoing *o = p->outgoing = mem_calloc(1, sizeof *o);
    arena_init(&o->arena, 0);
    o->method = p->method;
    o->started_us = clock_mono_us();
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < options->metadata_count; i++)
        code = nrpc_outgoing_add(o, &options->metadata[i], &p->st);
    if (code == NRPC_OK && options->parent)
        code = inherit_trace(o, options->parent, &p->st);
    while (code == NRPC_OK && ch->interceptors && o->intercepted < ch->options.interceptor_count) {
        const struct nrpc_client_interceptor *i = &ch->interceptors[o->intercepted++];
        if (i->start && (code = i->start(i->user, o, &p->st)))
            p->st.code = code;
    }
    return code;
}

// INT64_MAX: no deadline; 0: it has passed.
static int64_t timeout_us_of(const struct nrpc_call_options *o)
{
    bool none = o->timeout_ms == 0 || o->timeout_ms >= INT64_MAX / 2000;
    int64_t us = none ? INT64_MAX : o->timeout_ms > 0 ? o->timeout_ms * 1000 : 0;
    int64_t parent_ms = o->parent ? nrpc_call_remaining_ms(o->parent) : INT64_MAX;
    return parent_ms < us / 1000 ? parent_ms * 1000 : us;
}

static int encode(struct pending *p, const struct nrpc_call_options *o, const ProtobufCMessage *request,
                  uint32_t credit)
{
    const struct nrpc_outgoing *out = p->outgoing;
    struct frame f = {
        .version = NRPC_WIRE_VERSION,
        .kind = FRAME_REQUEST,
        .method = {(const uint8_t *)p->method->name, strlen(p->method->name)},
        .timeout_us = p->deadline_us == CLOCK_NEVER ? 0 : 1, // written when it is sent
        .metadata = out ? out->metadata : o->metadata,
        .metadata_count = (uint32_t)(out ? out->metadata_count : o->metadata_count),
        .credit = credit,
    };
    size_t bytes = 0;
    int code = frame_check_metadata(f.metadata, f.metadata_count, &p->st);
    if (code == NRPC_OK && request)
        code = transport_check_size(request, p->channel->options.max_message_bytes, &bytes, &p->st);
    if (code == NRPC_OK)
        p->msg = transport_encode(&f, request, bytes);
    return code;
}

int pending_prepare(struct pending *p, const struct nrpc_call_options *o, const ProtobufCMessage *request,
                    uint32_t credit)
{
    static const struct nrpc_call_options none;
    static _Atomic uint64_t last_id;
    struct nrpc_channel *ch = p->channel;
    o = o ? o : &none;
    p->id = atomic_fetch_add(&last_id, 1) + 1;
    if (o->id)
        *o->id = p->id;
    p->outcome = p->kind == PENDING_STREAM ? NULL : o->outcome; // a stream has its own
    if (p->outcome)
        *p->outcome = (struct nrpc_outcome){0};
    int64_t now_us = clock_mono_us(), timeout_us = timeout_us_of(o);
    p->deadline_us = timeout_us == INT64_MAX ? CLOCK_NEVER : now_us + timeout_us;
    p->quiet_ms = o->quiet_ms > 0 ? o->quiet_ms : 0;
    p->connect_by_us = o->wait_for_ready ? CLOCK_NEVER : now_us + ch->options.connect_timeout_ms * 1000;
    if (timeout_us == 0)
        return status_set(&p->st, NRPC_DEADLINE_EXCEEDED, "%s: the deadline had passed before the call began",
                          p->method->name);
    int code = ch->interceptors || o->parent ? intercept(p, o) : NRPC_OK;
    if (code == NRPC_OK)
        code = encode(p, o, request, credit);
    if (code == NRPC_OK && o->parent) {
        p->child.channel = ch;
        p->child.id = p->id;
        call_adopt(o->parent, &p->child);
    }
    return code;
}

// ---- after the end

static struct nrpc_status read_status(const struct frame *f)
{
    struct nrpc_status st = {.code = (int)f->status};
    size_t n = f->status_text.size < sizeof st.text - 1 ? f->status_text.size : sizeof st.text - 1;
    if (n)
        memcpy(st.text, f->status_text.data, n);
    utf8_repair(st.text); // it may have been cut within a character
    return st;
}

ProtobufCMessage *pending_read_reply(struct pending *p, ProtobufCAllocator *allocator)
{
    struct frame f;
    if (!p->reply)
        return NULL;
    if (frame_parse(nng_msg_body(p->reply), nng_msg_len(p->reply), &f, &p->st))
        return NULL;
    p->st = read_status(&f);
    if (p->outcome)
        outcome_take(p->outcome, &f);
    if (p->st.code != NRPC_OK || p->method->server_streams)
        return NULL;
    ProtobufCMessage *m = f.payload_count == 1 ? protobuf_c_message_unpack(p->method->response, allocator,
                                                                           f.payload.size, f.payload.data)
                                               : NULL;
    if (!m)
        status_set(&p->st, NRPC_INTERNAL, "%s: the answer is no %s", p->method->name,
                   p->method->response->name);
    return m;
}

void pending_finish(struct pending *p)
{
    struct nrpc_outgoing *o = p->outgoing;
    call_leave(&p->child);
    if (p->outcome)
        p->outcome->attempts = p->attempts ? p->attempts : 1;
    if (o) {
        while (o->intercepted) {
            const struct nrpc_client_interceptor *i = &p->channel->interceptors[--o->intercepted];
            if (i->end)
                i->end(i->user, o, &p->st);
        }
        arena_fini(&o->arena);
        free(o);
        p->outgoing = NULL;
    }
    nng_msg_free(p->reply);
    p->reply = NULL;
}

void pending_run_done(struct pending *p)
{
    ProtobufCMessage *response = pending_read_reply(p, &p->arena.allocator);
    pending_finish(p);
    p->finish(p->done, p->user, &p->st, response);
}

// ---- asynchronous

enum { FREE_PENDINGS_MAX = 64 };

struct pending *pending_new(struct nrpc_channel *ch)
{
    pthread_mutex_lock(&ch->mu);
    ch->inside++;
    struct pending *p = ch->free_pendings;
    if (p) {
        ch->free_pendings = p->next;
        ch->free_pending_count--;
    }
    pthread_mutex_unlock(&ch->mu);
    if (!p) {
        p = mem_calloc(1, sizeof *p);
        arena_init(&p->arena, 8 * ch->options.max_message_bytes);
    }
    return p;
}

void pending_free(struct pending *p)
{
    struct nrpc_channel *ch = p->channel;
    arena_reset(&p->arena);
    memset(&p->next, 0, sizeof *p - offsetof(struct pending, next));
    pthread_mutex_lock(&ch->mu);
    bool keep = ch->free_pending_count < FREE_PENDINGS_MAX;
    if (keep) {
        p->next = ch->free_pendings;
        ch->free_pendings = p;
        ch->free_pending_count++;
    }
    channel_leave(ch);
    pthread_mutex_unlock(&ch->mu);
    if (!keep) {
        arena_fini(&p->arena);
        free(p);
    }
}

void nrpc_call_async_typed(struct nrpc_channel *ch, const struct nrpc_method *method,
                           const struct nrpc_call_options *options, const ProtobufCMessage *request,
                           nrpc_finish_fn finish, void (*done)(void), void *user)
{
    struct pending *p = pending_new(ch);
    p->channel = ch;
    p->method = method;
    p->kind = PENDING_ASYNC;
    p->finish = finish;
    p->done = done;
    p->user = user;
    int code = pending_prepare(p, options, request, 0);
    channel_lock(ch);
    if (code)
        channel_end(ch, p);
    else
        channel_start(ch, p);
    channel_unlock(ch);
}

static void finish_untyped(void (*done)(void), void *user, const struct nrpc_status *st,
                           const ProtobufCMessage *response)
{
    ((nrpc_done_fn)done)(user, st, response);
}

void nrpc_call_async(struct nrpc_channel *ch, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     nrpc_done_fn done, void *user)
{
    nrpc_call_async_typed(ch, method, options, request, finish_untyped, (void (*)(void))done, user);
}

// ---- blocking

static void wait_for_end(struct nrpc_channel *ch, struct pending *p)
{
    while (!p->has_ended) {
        int64_t at_us = channel_wake_at(ch, p);
        struct timespec until = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
        if (at_us == CLOCK_NEVER)
            pthread_cond_wait(p->ended, &ch->mu);
        else
            pthread_cond_timedwait(p->ended, &ch->mu, &until);
        if (!p->has_ended && clock_mono_us() >= channel_wake_at(ch, p))
            channel_set_overdue(ch, p);
    }
}

int nrpc_call_unary(struct nrpc_channel *ch, const struct nrpc_method *method,
                    const struct nrpc_call_options *options, const ProtobufCMessage *request,
                    ProtobufCMessage **response, struct nrpc_status *st)
{
    pthread_cond_t ended;
    wait_cond_init(&ended);
    struct pending p = {.channel = ch, .method = method, .kind = PENDING_BLOCKING, .ended = &ended};
    ProtobufCMessage *m = NULL;
    // Without interceptors nothing of the channel is used before and after.
    bool is_intercepted = ch->interceptors != NULL;
    if (is_intercepted)
        channel_enter(ch);
    if (pending_prepare(&p, options, request, 0) == NRPC_OK) {
        channel_lock(ch);
        ch->inside++;
        channel_start(ch, &p);
        channel_unlock(ch); // sends over a local channel
        channel_lock(ch);
        wait_for_end(ch, &p);
        channel_leave(ch);
        channel_unlock(ch);
        m = pending_read_reply(&p, NULL);
    }
    pending_finish(&p);
    if (is_intercepted) {
        channel_lock(ch);
        channel_leave(ch);
        channel_unlock(ch);
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
