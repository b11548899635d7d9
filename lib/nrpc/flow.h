// SPDX-License-Identifier: Apache-2.0
// flow.h: the messages of one streaming call, in both directions, on either side: credit, batching, order.
//
// The owner guards a flow with its mutex, except where it says "reader". When the producer is ahead of the
// connection (link_is_eager), messages gather in one frame.
#ifndef NRPC_FLOW_H
#define NRPC_FLOW_H

#include "nrpc/link.h"

enum {
    FLOW_FIRST_CREDIT = 65536, // bytes that a client may send before it was granted any
    FLOW_MESSAGE_COST = 16,    // bytes that a message costs besides its own
    FLOW_BATCH_BYTES = 16384,  // a frame of gathered messages is not made larger
    FLOW_OTHER_BYTES = 256,    // of a frame that are no payload, that may be kept with it
    FLOW_LOOSE = 4,            // unread frames from which on small ones are put together
    FLOW_PACK_BYTES = 8192,    // and that many bytes of them
};

struct flow {
    struct link *link; // NULL: not connected, or the call has ended
    uint32_t id;

    // Sending
    int64_t credit;    // bytes; a message may start while it is above zero
    nng_msg *gathered; // a frame that is still growing
    bool waits;        // in link->waiting
    struct flow *next_waiting;
    const struct nrpc_metadata *headers; // to go with the first frame
    size_t header_count;

    // Receiving
    int64_t window;     // bytes the peer may be ahead
    int64_t granted;    // of those, not used up yet
    int64_t taken;      // bytes the reader took and that were not granted anew
    struct queue queue; // of nng_msg *: frames with messages
    size_t tail_room;   // bytes of payloads that fit into the last of them; 0: it is as it came
    nng_msg *reading;   // the reader's
    struct wire_bytes rest;
};

void flow_init(struct flow *f, int64_t window, int64_t credit);
void flow_fini(struct flow *f);

void flow_connect(struct flow *f, struct link *link, uint32_t id);
void flow_disconnect(struct flow *f); // what was gathered is dropped

// Sends a message of packed_bytes (below FLOW_SMALL: packs it here; else `frame` is it, made by flow_frame
// without the mutex). The flow must be connected and flow_may_send.
enum { FLOW_SMALL = 4096 };
bool flow_may_send(const struct flow *f); // there is credit, and room in the link
void flow_send(struct flow *f, const ProtobufCMessage *message, size_t packed_bytes, nng_msg *frame);
nng_msg *flow_frame(const struct flow *f, const ProtobufCMessage *message, size_t packed_bytes);
void flow_flush(struct flow *f); // what was gathered goes, before a frame that follows it

// A frame with messages arrived. Takes msg if it returns true; false: they are more than was granted.
bool flow_receive(struct flow *f, nng_msg *msg, const struct frame *frame);

// The messages in the frame that began the call, which stays the caller's and must outlive the reading.
void flow_read_from(struct flow *f, const struct frame *request);
void flow_widen(struct flow *f, int64_t window); // grants more than the peer began with

// Reader: the next message, which lives until the next call. false: none has arrived.
bool flow_next(struct flow *f, struct wire_bytes *payload);
void flow_took(struct flow *f, size_t payload_bytes); // grants anew when it is worth a frame

void flow_resume(struct link *link); // acknowledgements came: sends what gathered

#endif
