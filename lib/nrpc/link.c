// SPDX-License-Identifier: Apache-2.0
// link.c: windows and acknowledgements of one connection.
#include "nrpc/link.h"

#include "base/mem.h"
#include "nrpc/flow.h"
#include "nrpc/transport.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void link_init(struct link *l, const struct link *model)
{
    *l = (struct link){.emit = model->emit,
                       .is_wanted = model->is_wanted,
                       .has_room = model->has_room,
                       .unsent = model->unsent,
                       .full_links = model->full_links};
    l->waiting_tail = &l->waiting;
}

static void set_full(struct link *l, bool full)
{
    if (l->is_full != full && l->full_links)
        atomic_fetch_add(l->full_links, full ? 1 : (unsigned)-1);
    l->is_full = full;
}

void link_fini(struct link *l)
{
    for (struct link_held *h; l->held.count; queue_pop(&l->held)) {
        h = queue_at(&l->held, 0, sizeof *h);
        transport_free(h->msg);
    }
    queue_fini(&l->held);
    transport_free(l->lone.msg);
    nng_msg_free(l->batch);
    l->lone.msg = l->batch = NULL;
    l->held_bytes = l->small_held_bytes = 0;
    set_full(l, false);
}

bool link_is_eager(const struct link *l)
{
    // A peer that never acknowledged anything may not do so at all: it is not waited for before the window is
    // full.
    bool is_behind = l->acked && l->sent - l->acked >= LINK_EAGER;
    return !l->held.count && !l->lone.msg && !l->batch && !is_behind;
}

static void emit(struct link *l, nng_msg *msg, uint32_t id, bool urgent)
{
    l->told = l->withholds ? l->told : l->received;
    frame_write_ack((uint8_t *)nng_msg_body(msg) + nng_msg_len(msg) - FRAME_ACK_SIZE, l->told);
    l->sent++;
    l->emit(l, msg, id, urgent);
}

// ---- room

static size_t waiting_bytes(const struct link *l)
{
    return l->held_bytes + (l->unsent ? l->unsent(l) : 0);
}

void link_drained(struct link *l)
{
    if (!l->is_full || waiting_bytes(l) > LINK_ROOM_BYTES / 2)
        return;
    set_full(l, false);
    if (l->has_room)
        l->has_room(l);
}

void link_withhold(struct link *l, bool withholds)
{
    l->withholds = withholds;
}

// ---- the window

// What a held message counts: all of it, and, if it is a small frame or a batch of them, as that, too.
static void count_held(struct link *l, const struct link_held *h, bool came)
{
    size_t bytes = nng_msg_len(h->msg) + sizeof *h, sign = came ? 1 : (size_t)-1;
    l->held_bytes += sign * bytes;
    if (h->id == LINK_CONNECTION_ID || bytes <= LINK_SMALL)
        l->small_held_bytes += sign * bytes;
}

static void hold(struct link *l, nng_msg *msg, uint32_t id)
{
    struct link_held *h = queue_push(&l->held, sizeof *h);
    *h = (struct link_held){msg, id};
    count_held(l, h, true);
    if (l->small_held_bytes > LINK_SMALL_HELD_MAX)
        l->emit(l, NULL, 0, false);
}

static void emit_or_hold(struct link *l, nng_msg *msg, uint32_t id)
{
    if (!l->held.count && l->sent - l->acked < LINK_WINDOW)
        emit(l, msg, id, false);
    else
        hold(l, msg, id);
    if (waiting_bytes(l) > LINK_ROOM_BYTES)
        set_full(l, true);
}

// ---- sharing a message

static void add_to_batch(struct link *l, nng_msg *msg, uint32_t id)
{
    const uint8_t big_endian[4] = {(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    uint8_t head[20];
    size_t n = (size_t)(frame_write_payload(head, nng_msg_len(msg) + sizeof big_endian) - head);
    transport_append(l->batch, head, n);
    transport_append(l->batch, big_endian, sizeof big_endian);
    transport_append(l->batch, nng_msg_body(msg), nng_msg_len(msg));
    transport_free(msg);
}

static void begin_batch(struct link *l)
{
    static const struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_BATCH};
    size_t size = frame_size(&f, false, 0);
    l->batch = transport_message(size + LINK_BATCH_BYTES + LINK_SMALL + 32);
    frame_write(&f, false, 0, nng_msg_body(l->batch));
    (void)nng_msg_chop(l->batch, nng_msg_len(l->batch) - (size - FRAME_ACK_SIZE));
    add_to_batch(l, l->lone.msg, l->lone.id);
    l->lone.msg = NULL;
}

static void flush(struct link *l)
{
    struct link_held lone = l->lone;
    nng_msg *batch = l->batch;
    l->lone.msg = l->batch = NULL;
    if (lone.msg)
        emit_or_hold(l, lone.msg, lone.id);
    if (!batch)
        return;
    uint8_t ack[FRAME_ACK_SIZE];
    frame_write_ack(ack, 0);
    transport_append(batch, ack, sizeof ack);
    emit_or_hold(l, batch, LINK_CONNECTION_ID);
}

void link_send(struct link *l, nng_msg *msg, uint32_t id)
{
    if (l->said_goodbye) {
        transport_free(msg);
    } else if (nng_msg_len(msg) > LINK_SMALL || link_is_eager(l)) {
        flush(l);
        emit_or_hold(l, msg, id);
    } else if (!l->lone.msg && !l->batch) {
        l->lone = (struct link_held){msg, id};
    } else {
        if (l->lone.msg)
            begin_batch(l);
        add_to_batch(l, msg, id);
        if (nng_msg_len(l->batch) >= LINK_BATCH_BYTES)
            flush(l);
    }
}

nng_msg *link_next_of_batch(struct wire_bytes *rest, uint32_t *id)
{
    struct wire_bytes payload;
    if (!frame_next_payload(rest, &payload) || payload.size < 4)
        return NULL;
    const uint8_t *d = payload.data;
    *id = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
    nng_msg *msg = transport_message(payload.size - 4);
    if (payload.size > 4)
        memcpy(nng_msg_body(msg), d + 4, payload.size - 4);
    return msg;
}

// ---- the connection's own frames

static nng_msg *bare_frame(enum frame_kind kind)
{
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = kind};
    return transport_encode(&f, NULL, 0);
}

void link_say_of(struct link *l, enum frame_kind kind, uint32_t id)
{
    link_send(l, bare_frame(kind), id);
}

void link_say(struct link *l, enum frame_kind kind)
{
    if (l->said_goodbye)
        return;
    if (kind == FRAME_GOODBYE)
        link_fini(l);
    l->said_goodbye = kind == FRAME_GOODBYE;
    emit(l, bare_frame(kind), LINK_CONNECTION_ID, kind != FRAME_GOODBYE);
}

// ---- hearing

void link_heard(struct link *l, const struct frame *f)
{
    l->received++;
    // A number that was overtaken, or that is no number of ours, says nothing.
    if (f->ack == 0 || f->ack - l->acked > l->sent - l->acked || f->ack == l->acked)
        return;
    l->acked = f->ack;
    while (l->held.count && l->sent - l->acked < LINK_WINDOW) {
        struct link_held h = *(struct link_held *)queue_at(&l->held, 0, sizeof h);
        queue_pop(&l->held);
        count_held(l, &h, false);
        if (l->is_wanted && !l->is_wanted(l, h.msg, h.id)) {
            transport_free(h.msg);
            continue;
        }
        emit(l, h.msg, h.id, false);
    }
    flow_resume(l);
    flush(l);
    link_drained(l);
}

void link_acknowledge(struct link *l)
{
    if (!l->withholds && l->received - l->told >= LINK_ACK)
        link_say(l, FRAME_ACK);
}
