// SPDX-License-Identifier: Apache-2.0
// server_handler.c: what a handler does with its call: answers, sends and receives messages, asks about it.
#include "nrpc/server.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "base/wait.h"
#include "nrpc/details.h"
#include "nrpc/transport.h"

#include <string.h>

// ---- the end of a call

static void count_end(struct nrpc_call *c, int code)
{
    struct method_entry *e = c->entry;
    if (!e)
        return;
    int64_t us = clock_mono_us() - c->arrived_us;
    unsigned bucket = us > 0 ? 64 - (unsigned)__builtin_clzll((unsigned long long)us) : 0;
    atomic_fetch_add(&e->ended[code >= 0 && code <= 16 ? code : NRPC_UNKNOWN], 1);
    atomic_fetch_add(&e->latency[bucket < NRPC_LATENCY_BUCKETS ? bucket : NRPC_LATENCY_BUCKETS - 1], 1);
}

static void run_ends(struct nrpc_call *c, const struct nrpc_status *st)
{
    while (c->intercepted) {
        const struct nrpc_server_interceptor *i = &c->server->interceptors[--c->intercepted];
        if (i->end)
            i->end(i->user, c, st);
    }
}

// Sends the last frame and lets go of the call.
static void end(struct nrpc_call *c, nng_msg *response, const struct nrpc_status *st)
{
    static const struct nrpc_status cancelled = {NRPC_CANCELLED, "the caller gave up"};
    struct nrpc_server *s = c->server;
    st = c->cancelled ? &cancelled : st;
    run_ends(c, st);
    count_end(c, st->code);
    atomic_fetch_add(&s->answers, 1);
    server_lock(s);
    if (c->peer && c->streams)
        flow_flush(&c->flow);
    if (c->peer)
        link_send(&c->peer->link, response, c->id);
    else
        nng_msg_free(response);
    call_detach(c);
    call_unref(c);
    server_unlock(s);
    server_unref(s);
}

static struct frame response_frame(const struct nrpc_call *c)
{
    return (struct frame){
        .version = NRPC_WIRE_VERSION,
        .kind = FRAME_RESPONSE,
        .metadata = c->headers.entries,
        .metadata_count = c->headers_sent ? 0 : (uint32_t)c->headers.count,
        .trailers = c->trailers.entries,
        .trailer_count = (uint32_t)c->trailers.count,
    };
}

static nng_msg *error_response(const struct nrpc_call *c, const struct nrpc_status *st,
                               struct wire_bytes details)
{
    struct frame f = response_frame(c);
    f.status = (uint32_t)(st->code > 0 ? st->code : NRPC_INTERNAL);
    f.status_text = (struct wire_bytes){(const uint8_t *)st->text, strlen(st->text)};
    f.status_details = details;
    f.not_begun = c->not_begun;
    return transport_encode(&f, NULL, 0);
}

void nrpc_reply_status(struct nrpc_call *c, const struct nrpc_status *st)
{
    end(c, error_response(c, st, (struct wire_bytes){NULL, 0}), st);
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

// The status without its details, of which it says why they are missing.
static struct nrpc_status without_details(const struct nrpc_status *st, const char *why)
{
    struct nrpc_status less;
    int room = (int)(sizeof less.text - sizeof " (no details: )" - strlen(why));
    status_set(&less, st->code, "%.*s (no details: %s)", room, st->text, why);
    utf8_repair(less.text); // it may have been cut within a character
    return less;
}

void nrpc_reply_details(struct nrpc_call *c, const struct nrpc_status *st,
                        const ProtobufCMessage *const *details, size_t detail_count)
{
    struct wire_bytes packed = {NULL, 0};
    struct nrpc_status why, less;
    size_t bytes = details_size(st, details, detail_count);
    if (transport_check_bytes("a list", bytes, c->server->options.max_message_bytes, &why) == NRPC_OK) {
        packed = details_pack(&c->arena, st, details, detail_count);
        status_set(&why, NRPC_RESOURCE_EXHAUSTED, "the call's memory is used up");
    }
    if (!packed.data) {
        less = without_details(st, why.text);
        st = &less;
    }
    end(c, error_response(c, st, packed), st);
}

void nrpc_reply(struct nrpc_call *c, const ProtobufCMessage *response)
{
    struct nrpc_status st;
    size_t bytes;
    status_ok(&st);
    if (c->entry->method->server_streams) {
        status_set(&st, NRPC_INTERNAL, "%s streams: it sends messages and finishes", c->entry->method->name);
        nrpc_reply_status(c, &st);
    } else if (transport_check_size(response, c->server->options.max_message_bytes, &bytes, &st)) {
        nrpc_reply_status(c, &st);
    } else {
        struct frame f = response_frame(c);
        end(c, transport_encode(&f, response, bytes), &st);
    }
}

void nrpc_finish(struct nrpc_call *c)
{
    static const struct nrpc_status ok = {NRPC_OK, ""};
    if (!c->entry->method->server_streams) {
        nrpc_reply_error(c, NRPC_INTERNAL, "%s must answer with a message", c->entry->method->name);
        return;
    }
    struct frame f = response_frame(c);
    end(c, transport_encode(&f, NULL, 0), &ok);
}

void call_break(struct nrpc_call *c, int code, const char *text)
{
    struct nrpc_status st;
    status_set(&st, code, "%s", text);
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_RESPONSE, .status = (uint32_t)code};
    f.status_text = (struct wire_bytes){(const uint8_t *)st.text, strlen(st.text)};
    atomic_fetch_add(&c->server->bad_frames, 1);
    link_send(&c->peer->link, transport_encode(&f, NULL, 0), c->id);
    call_cancel(c);
}

// ---- messages

static int why_over(struct nrpc_call *c)
{
    if (c->cancelled)
        return NRPC_CANCELLED;
    return clock_mono_us() >= c->deadline_us ? NRPC_DEADLINE_EXCEEDED : NRPC_OK;
}

// Waits for a change, at most until the deadline; or returns NRPC_WOULD_BLOCK.
static int wait_for_change(struct nrpc_call *c)
{
    if (c->on_ready)
        return NRPC_WOULD_BLOCK;
    struct timespec until = {.tv_sec = c->deadline_us / 1000000, .tv_nsec = c->deadline_us % 1000000 * 1000};
    pool_wait_begin(); // the worker is free for others meanwhile
    if (c->deadline_us == CLOCK_NEVER)
        pthread_cond_wait(&c->changed, &c->server->mu);
    else
        pthread_cond_timedwait(&c->changed, &c->server->mu, &until);
    pool_wait_end();
    return NRPC_OK;
}

int nrpc_call_send(struct nrpc_call *c, const ProtobufCMessage *message)
{
    size_t bytes;
    if (!c->entry->method->server_streams)
        return NRPC_FAILED_PRECONDITION;
    int code = transport_check_size(message, c->server->options.max_message_bytes, &bytes, NULL);
    if (code)
        return code;
    if (!c->headers_sent) {
        c->flow.headers = c->headers.entries;
        c->flow.header_count = c->headers.count;
    }
    nng_msg *frame = bytes > FLOW_SMALL ? flow_frame(&c->flow, message, bytes) : NULL;
    server_lock(c->server);
    while ((code = why_over(c)) == NRPC_OK && !flow_may_send(&c->flow))
        if ((code = wait_for_change(c)))
            break;
    if (code == NRPC_OK) {
        c->headers_sent = true;
        flow_send(&c->flow, message, bytes, frame);
        frame = NULL;
    }
    server_unlock(c->server);
    nng_msg_free(frame);
    return code;
}

// The next payload, waiting for it; data NULL: the client sends no more.
static int next_payload(struct nrpc_call *c, struct wire_bytes *payload)
{
    int code = NRPC_OK;
    server_lock(c->server);
    while (!flow_next(&c->flow, payload)) {
        *payload = (struct wire_bytes){NULL, 0};
        if (c->receive_closed || (code = why_over(c)) || (code = wait_for_change(c)))
            break;
    }
    if (payload->data)
        flow_took(&c->flow, payload->size);
    server_unlock(c->server);
    return code;
}

int nrpc_call_receive(struct nrpc_call *c, const ProtobufCMessage **message)
{
    struct wire_bytes payload;
    *message = NULL;
    if (!c->entry->method->client_streams)
        return NRPC_FAILED_PRECONDITION;
    int code = next_payload(c, &payload);
    if (code || !payload.data)
        return code;
    arena_reset(&c->message_arena);
    *message = protobuf_c_message_unpack(c->entry->method->request, &c->message_arena.allocator, payload.size,
                                         payload.data);
    return *message ? NRPC_OK : NRPC_INVALID_ARGUMENT;
}

void nrpc_call_on_ready(struct nrpc_call *c, void (*on_ready)(void *user, struct nrpc_call *call), void *user)
{
    struct nrpc_server *s = c->server;
    server_lock(s);
    c->on_ready = on_ready;
    c->on_ready_user = user;
    call_changed(c); // whatever happened before
    server_unlock(s);
}

// ---- what it asks

bool nrpc_call_is_cancelled(struct nrpc_call *c)
{
    return why_over(c) != NRPC_OK;
}

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

const struct nrpc_metadata *nrpc_call_all_metadata(struct nrpc_call *c, size_t *count)
{
    struct call_metadata *m = &c->metadata;
    if (!m->entries && c->frame.metadata_count) {
        m->count = c->frame.metadata_count;
        m->entries = arena_alloc(&c->arena, m->count * sizeof *m->entries);
        char *text = arena_alloc(&c->arena, FRAME_TEXT_SIZE(&c->frame));
        struct nrpc_metadata none;
        if (m->entries && text && !c->frame.trailer_count)
            frame_copy_metadata(&c->frame, m->entries, &none, text);
        else
            m->count = 0;
    }
    *count = m->count;
    return m->entries;
}

const char *nrpc_call_metadata(struct nrpc_call *c, const char *key)
{
    size_t count;
    const struct nrpc_metadata *m = nrpc_call_all_metadata(c, &count);
    return nrpc_metadata_find(m, count, key);
}

static size_t bytes_of(const struct call_metadata *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++)
        n += strlen(list->entries[i].key) + list->entries[i].value_bytes;
    return n;
}

static int add(struct nrpc_call *c, struct call_metadata *list, const struct nrpc_metadata *entry,
               struct nrpc_status *st)
{
    int code = frame_check_metadata(entry, 1, st);
    if (code)
        return code;
    size_t key_size = strlen(entry->key) + 1;
    size_t size = entry->value_bytes ? entry->value_bytes : strlen(entry->value);
    if (c->headers.count + c->trailers.count >= FRAME_METADATA_MAX ||
        bytes_of(&c->headers) + bytes_of(&c->trailers) + key_size + size > FRAME_METADATA_BYTES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "metadata over %d entries or %d bytes",
                          FRAME_METADATA_MAX, FRAME_METADATA_BYTES_MAX);
    if (!list->entries)
        list->entries = arena_alloc(&c->arena, FRAME_METADATA_MAX * sizeof *list->entries);
    char *text = arena_alloc(&c->arena, key_size + size + 1);
    if (!list->entries || !text)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the call's memory is used up");
    memcpy(text, entry->key, key_size);
    memcpy(text + key_size, entry->value, size);
    text[key_size + size] = 0;
    list->entries[list->count++] = (struct nrpc_metadata){text, text + key_size, size};
    return NRPC_OK;
}

int nrpc_call_add_header(struct nrpc_call *c, const struct nrpc_metadata *entry, struct nrpc_status *st)
{
    if (c->headers_sent)
        return status_set(st, NRPC_FAILED_PRECONDITION, "header \"%s\": the headers were sent already",
                          entry->key);
    return add(c, &c->headers, entry, st);
}

int nrpc_call_add_trailer(struct nrpc_call *c, const struct nrpc_metadata *entry, struct nrpc_status *st)
{
    return add(c, &c->trailers, entry, st);
}

const struct nrpc_method *nrpc_call_method(const struct nrpc_call *c)
{
    return c->entry->method;
}

const char *nrpc_call_method_name(const struct nrpc_call *c)
{
    return c->entry->method->name;
}

int64_t nrpc_call_arrived_us(const struct nrpc_call *c)
{
    return c->arrived_us;
}

void *nrpc_call_alloc(struct nrpc_call *c, size_t size)
{
    return arena_alloc(&c->arena, size);
}

void nrpc_call_set_value(struct nrpc_call *c, const void *key, void *value)
{
    struct call_value *v = arena_alloc(&c->arena, sizeof *v);
    bool on_heap = !v;
    v = v ? v : mem_alloc(sizeof *v);
    *v = (struct call_value){c->values, key, value, on_heap};
    c->values = v;
}

void *nrpc_call_value(const struct nrpc_call *c, const void *key)
{
    for (const struct call_value *v = c->values; v; v = v->next)
        if (v->key == key)
            return v->value;
    return NULL;
}
