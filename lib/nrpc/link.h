// SPDX-License-Identifier: Apache-2.0
// link.h: the frames of one connection, on either side: counts and acknowledges them, holds back what the
// peer has no room for (docs/PROTOCOL.md, "Flow control").
//
// The owner guards a link with its mutex, also while `emit` runs.
#ifndef NRPC_LINK_H
#define NRPC_LINK_H

#include "nrpc/frame.h"

#include <nng/nng.h>

#define LINK_CONNECTION_ID 0x80000000u // no call's id: speaks of the connection

enum {
    LINK_WINDOW = 48,      // frames on the way; a REP socket's queue has room for 64, the rest is for ACK
    LINK_ACK_MESSAGES = 4, // received MESSAGE frames after which they are acknowledged at once
    LINK_ACK_FRAMES = 32,  // received frames of any kind, likewise
};

struct flow;

struct link_held {
    nng_msg *msg;
    uint32_t id;
};

struct link {
    void (*emit)(struct link *link, nng_msg *msg, uint32_t id); // sends; takes msg
    uint32_t sent, acked;                                       // by us; of these, what the peer says it has
    uint32_t received, told;                                    // by us; what we last said
    unsigned fresh;                                             // MESSAGE frames since then
    struct link_held *held; // frames that wait for the window: a queue in an array
    size_t held_first, held_count, held_capacity;
    struct flow *waiting, **waiting_tail; // flows with messages that wait for acknowledgements
    bool said_goodbye;                    // nothing is sent any more
};

void link_init(struct link *link, void (*emit)(struct link *link, nng_msg *msg, uint32_t id));
void link_fini(struct link *link); // frees what is held; no flow may use the link any more

// Sends a frame made by transport_encode, in the order of calling, as soon as the window allows it. Takes
// msg.
void link_send(struct link *link, nng_msg *msg, uint32_t id);

// A frame without payload, of a call, or of the connection itself (which waits for nothing). GOODBYE is the
// last frame ever; what is held is dropped.
void link_say_of(struct link *link, enum frame_kind kind, uint32_t id);
void link_say(struct link *link, enum frame_kind kind);

// A frame arrived: counts it, sends what its ack made room for.
void link_heard(struct link *link, const struct frame *frame);

// Says what was received if it is time to. Called after link_heard and whatever the frame led to: an answer
// that was sent has said it.
void link_acknowledge(struct link *link);

bool link_has_room(const struct link *link);

#endif
