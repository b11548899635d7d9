// SPDX-License-Identifier: Apache-2.0
// link.h: the messages of one connection, on either side: counts and acknowledges them, holds back what the
// peer has no room for, and lets small frames share a message while the peer is behind (docs/PROTOCOL.md,
// "Flow control").
//
// The owner guards a link with its mutex, also while `emit` runs.
#ifndef NRPC_LINK_H
#define NRPC_LINK_H

#include "base/queue.h"
#include "nrpc/frame.h"

#include <nng/nng.h>

#define LINK_CONNECTION_ID 0x80000000u // no call's id: speaks of the connection

enum {
    LINK_WINDOW = 48,  // messages on the way; a REP socket's queue has room for 64, the rest is for ACK
    LINK_EAGER = 4,    // messages on the way from which on small frames gather in one
    LINK_ACK = 4,      // received messages after which they are acknowledged at once
    LINK_SMALL = 4096, // bytes of a frame that may share a message
    LINK_BATCH_BYTES = 16384,   // a message of several frames is not made larger
    LINK_ROOM_BYTES = 32 << 20, // that may wait; then calls and messages wait before they enter the link
    // Frames that cannot wait elsewhere (answers of running calls, refusals, CANCEL, CREDIT) may enter a full
    // link. A peer for which so many bytes of small ones are held does not read, and is given up.
    LINK_SMALL_HELD_MAX = 32 << 20,
};

struct flow;

struct link_held {
    nng_msg *msg;
    uint32_t id;
};

struct link {
    // Sends; takes msg, which is freed with transport_free. urgent: before all that was not begun. msg NULL:
    // the connection is to be closed, the peer does not acknowledge.
    void (*emit)(struct link *link, nng_msg *msg, uint32_t id, bool urgent);
    // A message that was held is about to be emitted after all; false: it is dropped. May be NULL.
    bool (*is_wanted)(struct link *link, nng_msg *msg, uint32_t id);
    // The link was full and has room again. May be NULL.
    void (*has_room)(struct link *link);
    // Bytes that were emitted and are not sent yet. May be NULL: they do not count.
    size_t (*unsent)(const struct link *link);
    _Atomic unsigned *full_links; // how many of the owner's are full; may be NULL
    uint32_t sent, acked;         // by us; of these, what the peer says it has
    uint32_t received, told;      // by us; what we last said
    struct link_held lone;        // one small frame that waits for company; msg NULL: none
    nng_msg *batch;               // several that do, as a message that is still growing
    struct queue held;            // of struct link_held: messages that wait for the window
    size_t held_bytes, small_held_bytes;
    // More than LINK_ROOM_BYTES wait, and since then not yet less than half of it: what can wait elsewhere
    // must; has_room follows.
    bool is_full;
    bool withholds; // acknowledges nothing, so that the peer sends no more calls (server_requests.c)
    struct flow *waiting, **waiting_tail; // flows whose messages gather
    bool said_goodbye;                    // nothing is sent any more
};

// The functions of `model` are copied.
void link_init(struct link *link, const struct link *model);
void link_fini(struct link *link); // frees what waits; no flow may use the link any more

// Sends a frame made by transport_encode, in the order of calling, as soon as the window allows it. Takes
// msg.
void link_send(struct link *link, nng_msg *msg, uint32_t id);

void link_drained(struct link *link); // what `unsent` counts has become less

// Whether to acknowledge what arrives.
void link_withhold(struct link *link, bool withholds);

// A frame without payload, of a call, or of the connection itself (which waits for nothing). GOODBYE is the
// last frame ever; what waits is dropped.
void link_say_of(struct link *link, enum frame_kind kind, uint32_t id);
void link_say(struct link *link, enum frame_kind kind);

// A message arrived, whose frame is this: counts it, sends what its ack made room for.
void link_heard(struct link *link, const struct frame *frame);

// Says what was received if it is time to. Called after link_heard and whatever the frame led to: an answer
// that was sent has said it.
void link_acknowledge(struct link *link);

// Nothing waits, and the peer is not behind: a frame sent now goes at once, in a message of its own.
bool link_is_eager(const struct link *link);

// Takes the next frame out of *rest, which begins as the `all` of a BATCH frame, as a message of its own;
// NULL: there is none left, or what is left is malformed.
nng_msg *link_next_of_batch(struct wire_bytes *rest, uint32_t *id);

#endif
