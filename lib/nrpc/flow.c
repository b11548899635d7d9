// SPDX-License-Identifier: Apache-2.0
// flow.c: gathers and queues the messages of a streaming call.
#include "nrpc/flow.h"

#include "base/mem.h"
#include "nrpc/transport.h"

#include <stdlib.h>
#include <string.h>

void flow_init(struct flow *f, int64_t window, int64_t credit)
{
    *f = (struct flow){.window = window, .granted = window, .credit = credit};
}

void flow_fini(struct flow *f)
{
    flow_disconnect(f);
    for (; f->queue.count; queue_pop(&f->queue))
        nng_msg_free(*(nng_msg **)queue_at(&f->queue, 0, sizeof(nng_msg *)));
    queue_fini(&f->queue);
    nng_msg_free(f->reading);
    f->reading = NULL;
    f->rest.size = 0;
}

void flow_connect(struct flow *f, struct link *link, uint32_t id)
{
    f->link = link;
    f->id = id;
}

static void stop_waiting(struct flow *f)
{
    if (!f->waits)
        return;
    struct flow **at = &f->link->waiting;
    while (*at != f)
        at = &(*at)->next_waiting;
    *at = f->next_waiting;
    if (f->link->waiting_tail == &f->next_waiting)
        f->link->waiting_tail = at;
    f->waits = false;
}

void flow_disconnect(struct flow *f)
{
    if (f->link)
        stop_waiting(f);
    nng_msg_free(f->gathered);
    f->gathered = NULL;
    f->link = NULL;
}

// ---- sending

bool flow_may_send(const struct flow *f)
{
    return f->credit > 0 && !f->link->is_full;
}

static struct frame message_frame(const struct flow *f)
{
    return (struct frame){
        .version = NRPC_WIRE_VERSION,
        .kind = FRAME_MESSAGE,
        .metadata = f->headers,
        .metadata_count = (uint32_t)f->header_count,
    };
}

nng_msg *flow_frame(const struct flow *f, const ProtobufCMessage *message, size_t packed_bytes)
{
    struct frame frame = message_frame(f);
    return transport_encode(&frame, message, packed_bytes);
}

void flow_flush(struct flow *f)
{
    nng_msg *msg = f->gathered;
    if (!msg)
        return;
    stop_waiting(f);
    f->gathered = NULL;
    uint8_t ack[FRAME_ACK_SIZE];
    frame_write_ack(ack, 0);
    transport_append(msg, ack, sizeof ack);
    link_send(f->link, msg, f->id);
}

// A frame without messages, with room for many.
static nng_msg *begin_gathering(struct flow *f)
{
    struct frame frame = message_frame(f);
    size_t size = frame_size(&frame, false, 0);
    nng_msg *msg = transport_message(size + FLOW_BATCH_BYTES + FLOW_SMALL);
    frame_write(&frame, false, 0, nng_msg_body(msg));
    (void)nng_msg_chop(msg, FLOW_BATCH_BYTES + FLOW_SMALL + FRAME_ACK_SIZE);
    f->header_count = 0;
    return msg;
}

static void gather(struct flow *f, const ProtobufCMessage *message, size_t packed_bytes)
{
    if (!f->gathered)
        f->gathered = begin_gathering(f);
    uint8_t record[FLOW_SMALL + 16];
    uint8_t *at = frame_write_payload(record, packed_bytes);
    protobuf_c_message_pack(message, at);
    transport_append(f->gathered, record, (size_t)(at - record) + packed_bytes);
    if (nng_msg_len(f->gathered) >= FLOW_BATCH_BYTES) {
        flow_flush(f);
    } else if (!f->waits) {
        f->waits = true;
        f->next_waiting = NULL;
        *f->link->waiting_tail = f;
        f->link->waiting_tail = &f->next_waiting;
    }
}

void flow_send(struct flow *f, const ProtobufCMessage *message, size_t packed_bytes, nng_msg *frame)
{
    f->credit -= (int64_t)packed_bytes + FLOW_MESSAGE_COST;
    if (!frame && (f->gathered || !link_is_eager(f->link))) {
        gather(f, message, packed_bytes);
        return;
    }
    flow_flush(f);
    frame = frame ? frame : flow_frame(f, message, packed_bytes);
    f->header_count = 0;
    link_send(f->link, frame, f->id);
}

void flow_resume(struct link *link)
{
    while (link->waiting)
        flow_flush(link->waiting);
}

// ---- receiving

static void append_payloads(nng_msg *to, const struct frame *frame)
{
    struct wire_bytes rest = frame->all, payload;
    while (frame_next_payload(&rest, &payload)) {
        uint8_t head[16];
        transport_append(to, head, (size_t)(frame_write_payload(head, payload.size) - head));
        transport_append(to, payload.data, payload.size);
    }
}

// A message holds on to its frame; one that is mostly something else is not kept as it is.
static nng_msg *only_payloads(nng_msg *msg, const struct frame *frame)
{
    nng_msg *compact = transport_message(0);
    append_payloads(compact, frame);
    nng_msg_free(msg);
    return compact;
}

static void enqueue(struct flow *f, nng_msg *msg)
{
    *(nng_msg **)queue_push(&f->queue, sizeof msg) = msg;
    f->tail_room = 0;
}

// A frame of its own for each small message would take many times what they cost of the credit: those that
// are not read soon are put together. Takes msg.
static void pack(struct flow *f, nng_msg *msg, const struct frame *frame)
{
    if (f->tail_room < frame->all.size) {
        nng_msg *tail = transport_message(FLOW_PACK_BYTES);
        (void)nng_msg_chop(tail, FLOW_PACK_BYTES);
        enqueue(f, tail);
        f->tail_room = FLOW_PACK_BYTES;
    }
    append_payloads(*(nng_msg **)queue_at(&f->queue, f->queue.count - 1, sizeof msg), frame);
    f->tail_room -= frame->all.size;
    nng_msg_free(msg);
}

bool flow_receive(struct flow *f, nng_msg *msg, const struct frame *frame)
{
    struct wire_bytes rest = frame->all, payload;
    int64_t cost = 0;
    if (!frame->payload_count) { // headers only
        nng_msg_free(msg);
        return true;
    }
    while (frame_next_payload(&rest, &payload)) {
        if (f->granted - cost <= 0)
            return false;
        cost += (int64_t)payload.size + FLOW_MESSAGE_COST;
    }
    f->granted -= cost;
    if (f->queue.count >= FLOW_LOOSE && frame->all.size <= FLOW_SMALL)
        pack(f, msg, frame);
    else if (frame->all.size > (size_t)cost + FLOW_OTHER_BYTES)
        enqueue(f, only_payloads(msg, frame));
    else
        enqueue(f, msg);
    return true;
}

bool flow_next(struct flow *f, struct wire_bytes *payload)
{
    while (!frame_next_payload(&f->rest, payload)) {
        if (!f->queue.count)
            return false;
        nng_msg_free(f->reading);
        f->reading = *(nng_msg **)queue_at(&f->queue, 0, sizeof f->reading);
        queue_pop(&f->queue);
        if (!f->queue.count)
            f->tail_room = 0;
        f->rest = (struct wire_bytes){nng_msg_body(f->reading), nng_msg_len(f->reading)};
    }
    return true;
}

void flow_read_from(struct flow *f, const struct frame *request)
{
    struct wire_bytes rest = request->all, payload;
    f->rest = request->all;
    while (frame_next_payload(&rest, &payload))
        f->granted -= (int64_t)payload.size + FLOW_MESSAGE_COST;
}

static void grant(struct flow *f, int64_t bytes)
{
    struct frame frame = {.version = NRPC_WIRE_VERSION, .kind = FRAME_CREDIT, .credit = (uint32_t)bytes};
    f->granted += bytes;
    link_send(f->link, transport_encode(&frame, NULL, 0), f->id);
}

void flow_widen(struct flow *f, int64_t window)
{
    if (window <= f->window)
        return;
    grant(f, window - f->window);
    f->window = window;
}

void flow_took(struct flow *f, size_t payload_bytes)
{
    f->taken += (int64_t)payload_bytes + FLOW_MESSAGE_COST;
    if (f->taken < f->window / 2 || !f->link)
        return;
    grant(f, f->taken);
    f->taken = 0;
}
