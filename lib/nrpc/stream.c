// SPDX-License-Identifier: Apache-2.0
// stream.c: the client's side of streaming calls.
#include "nrpc/channel.h"

#include "base/clock.h"
#include "base/wait.h"
#include "nrpc/transport.h"

#include <stdlib.h>
#include <string.h>

// ---- life

int nrpc_stream_open(struct nrpc_channel *ch, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     struct nrpc_stream **out, struct nrpc_status *st)
{
    struct nrpc_stream *s = mem_calloc(1, sizeof *s);
    int64_t window = (int64_t)ch->options.stream_window_bytes;
    *out = NULL;
    s->call = (struct pending){.channel = channel_ref(ch), .method = method, .kind = PENDING_STREAM};
    s->send_closed = !method->client_streams;
    wait_cond_init(&s->changed);
    arena_init(&s->message_arena, 8 * ch->options.max_message_bytes);
    flow_init(&s->flow, window, FLOW_FIRST_CREDIT);
    int code = pending_prepare(&s->call, options, request, (uint32_t)window);
    if (code) {
        if (st)
            *st = s->call.st;
        s->call.has_ended = true;
        nrpc_stream_close(s);
        return code;
    }
    channel_lock(ch);
    channel_start(ch, &s->call);
    channel_unlock(ch);
    *out = s;
    return NRPC_OK;
}

static void see_end(struct nrpc_stream *s)
{
    if (s->end_seen)
        return;
    s->end_seen = true;
    struct frame f;
    if (s->call.reply &&
        frame_parse(nng_msg_body(s->call.reply), nng_msg_len(s->call.reply), &f, NULL) == NRPC_OK)
        outcome_take(&s->last, &f);
    pending_finish(&s->call);
}

void nrpc_stream_close(struct nrpc_stream *s)
{
    if (!s)
        return;
    struct nrpc_channel *ch = s->call.channel;
    channel_lock(ch);
    channel_cancel(ch, &s->call, NRPC_CANCELLED, "the stream was closed");
    for (struct nrpc_stream **at = &ch->ready; s->is_ready; at = &(*at)->next_ready)
        if (*at == s) {
            *at = s->next_ready;
            s->is_ready = false;
            break;
        }
    if (s->running && pthread_equal(s->ready_thread, pthread_self()))
        *s->running = true;
    else
        while (s->running)
            pthread_cond_wait(&s->changed, &ch->mu);
    channel_unlock(ch);
    see_end(s);
    flow_fini(&s->flow);
    arena_fini(&s->message_arena);
    nrpc_outcome_fini(&s->first);
    nrpc_outcome_fini(&s->last);
    pthread_cond_destroy(&s->changed);
    free(s);
    channel_unref(ch);
}

void nrpc_stream_cancel(struct nrpc_stream *s)
{
    channel_lock(s->call.channel);
    channel_cancel(s->call.channel, &s->call, NRPC_CANCELLED, "the call was cancelled");
    channel_unlock(s->call.channel);
}

void nrpc_stream_on_ready(struct nrpc_stream *s, void (*on_ready)(void *user), void *user)
{
    channel_lock(s->call.channel);
    s->on_ready = on_ready;
    s->on_ready_user = user;
    channel_ready(s); // whatever happened before
    channel_unlock(s->call.channel);
}

// Under the mutex: waits for a change, or returns NRPC_WOULD_BLOCK.
static int wait_for_change(struct nrpc_stream *s)
{
    if (s->on_ready)
        return NRPC_WOULD_BLOCK;
    struct nrpc_channel *ch = s->call.channel;
    int64_t at_us = channel_wake_at(ch, &s->call);
    struct timespec until = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
    if (at_us == CLOCK_NEVER)
        pthread_cond_wait(&s->changed, &ch->mu);
    else if (pthread_cond_timedwait(&s->changed, &ch->mu, &until) &&
             clock_mono_us() >= channel_wake_at(ch, &s->call))
        channel_set_overdue(ch, &s->call); // a local channel has no timer that would
    return NRPC_OK;
}

// ---- writing

int nrpc_stream_write(struct nrpc_stream *s, const ProtobufCMessage *message)
{
    struct nrpc_channel *ch = s->call.channel;
    size_t bytes;
    int code = transport_check_size(message, ch->options.max_message_bytes, &bytes, NULL);
    if (code == NRPC_OK && s->send_closed)
        code = NRPC_FAILED_PRECONDITION;
    if (code)
        return code;
    nng_msg *frame = bytes > FLOW_SMALL ? flow_frame(&s->flow, message, bytes) : NULL;
    channel_lock(ch);
    while (!s->call.has_ended && (!s->flow.link || !flow_may_send(&s->flow)))
        if ((code = wait_for_change(s)))
            break;
    if (s->call.has_ended) {
        code = s->call.end_code ? s->call.end_code : NRPC_CANCELLED; // it wants no more
    } else if (code == NRPC_OK) {
        flow_send(&s->flow, message, bytes, frame);
        frame = NULL;
    }
    channel_unlock(ch);
    nng_msg_free(frame);
    return code;
}

static void half_close(struct nrpc_stream *s)
{
    flow_flush(&s->flow);
    link_say_of(s->flow.link, FRAME_HALF_CLOSE, s->call.wire_id);
}

void nrpc_stream_close_send(struct nrpc_stream *s)
{
    channel_lock(s->call.channel);
    if (!s->send_closed && s->flow.link)
        half_close(s);
    s->send_closed = true;
    channel_unlock(s->call.channel);
}

void stream_placed(struct nrpc_stream *s)
{
    if (s->send_closed && s->call.method->client_streams)
        half_close(s);
    channel_ready(s); // it may write now
}

// ---- reading

// The next payload, waiting for it; data NULL: there is none any more.
static int next_payload(struct nrpc_stream *s, struct wire_bytes *payload)
{
    struct nrpc_channel *ch = s->call.channel;
    int code = NRPC_OK;
    channel_lock(ch);
    while (!flow_next(&s->flow, payload)) {
        *payload = (struct wire_bytes){NULL, 0};
        if (s->call.has_ended || (code = wait_for_change(s)))
            break;
    }
    if (payload->data)
        flow_took(&s->flow, payload->size);
    channel_unlock(ch);
    return code;
}

static int take_end(struct nrpc_stream *s, const ProtobufCMessage **message, struct nrpc_status *st)
{
    struct pending *p = &s->call;
    if (!s->reply_taken) {
        s->reply_taken = true;
        *message = pending_read_reply(p, &s->message_arena.allocator);
    }
    if (!*message)
        see_end(s);
    if (st)
        *st = p->st;
    return p->st.code;
}

int nrpc_stream_read(struct nrpc_stream *s, const ProtobufCMessage **message, struct nrpc_status *st)
{
    struct wire_bytes payload;
    *message = NULL;
    int code = next_payload(s, &payload);
    if (code)
        return code;
    arena_reset(&s->message_arena);
    if (!payload.data)
        return take_end(s, message, st);
    *message = protobuf_c_message_unpack(s->call.method->response, &s->message_arena.allocator, payload.size,
                                         payload.data);
    if (*message)
        return status_ok(st);
    nrpc_stream_cancel(s);
    return status_set(st, NRPC_INTERNAL, "%s: a message is no %s", s->call.method->name,
                      s->call.method->response->name);
}

const struct nrpc_outcome *nrpc_stream_outcome(struct nrpc_stream *s)
{
    const struct nrpc_outcome *h = s->first.header_count ? &s->first : &s->last;
    s->shown = (struct nrpc_outcome){
        .headers = h->headers,
        .header_count = h->header_count,
        .trailers = s->last.trailers,
        .trailer_count = s->last.trailer_count,
        .details = s->last.details,
        .details_bytes = s->last.details_bytes,
        .attempts = 1,
    };
    return &s->shown;
}
