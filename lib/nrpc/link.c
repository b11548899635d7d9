// SPDX-License-Identifier: Apache-2.0
// link.c: windows and acknowledgements of one connection.
#include "nrpc/link.h"

#include "base/mem.h"
#include "nrpc/flow.h"
#include "nrpc/transport.h"

#include <stdlib.h>
#include <string.h>

void link_init(struct link *l, void (*emit)(struct link *link, nng_msg *msg, uint32_t id))
{
    *l = (struct link){.emit = emit};
    l->waiting_tail = &l->waiting;
}

void link_fini(struct link *l)
{
    for (size_t i = 0; i < l->held_count; i++)
        nng_msg_free(l->held[l->held_first + i].msg);
    free(l->held);
    l->held = NULL;
    l->held_first = l->held_count = l->held_capacity = 0;
}

bool link_has_room(const struct link *l)
{
    return !l->held_count && l->sent - l->acked < LINK_WINDOW;
}

static void emit(struct link *l, nng_msg *msg, uint32_t id)
{
    frame_write_ack((uint8_t *)nng_msg_body(msg) + nng_msg_len(msg) - FRAME_ACK_SIZE, l->received);
    l->told = l->received;
    l->fresh = 0;
    l->sent++;
    l->emit(l, msg, id);
}

static void hold(struct link *l, nng_msg *msg, uint32_t id)
{
    if (l->held_first + l->held_count == l->held_capacity) {
        if (l->held_count)
            memmove(l->held, l->held + l->held_first, l->held_count * sizeof *l->held);
        l->held_first = 0;
        mem_grow(&l->held, &l->held_capacity, l->held_count + 1, sizeof *l->held);
    }
    l->held[l->held_first + l->held_count++] = (struct link_held){msg, id};
}

void link_send(struct link *l, nng_msg *msg, uint32_t id)
{
    if (l->said_goodbye)
        nng_msg_free(msg);
    else if (link_has_room(l))
        emit(l, msg, id);
    else
        hold(l, msg, id);
}

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
    emit(l, bare_frame(kind), LINK_CONNECTION_ID);
}

void link_heard(struct link *l, const struct frame *f)
{
    l->received++;
    l->fresh += f->kind == FRAME_MESSAGE;
    // A number that was overtaken, or that is no number of ours, says nothing.
    if (f->ack == 0 || f->ack - l->acked > l->sent - l->acked || f->ack == l->acked)
        return;
    l->acked = f->ack;
    while (l->held_count && l->sent - l->acked < LINK_WINDOW) {
        struct link_held h = l->held[l->held_first++];
        l->held_count--;
        emit(l, h.msg, h.id);
    }
    flow_resume(l);
}

void link_acknowledge(struct link *l)
{
    if (l->fresh >= LINK_ACK_MESSAGES || l->received - l->told >= LINK_ACK_FRAMES)
        link_say(l, FRAME_ACK);
}
