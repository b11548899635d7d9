// SPDX-License-Identifier: Apache-2.0
// frame.h: reads and writes nrpc.v1.Frame (proto/nrpc/v1/frame.proto) in place, without allocating.
//
// A parsed frame points into the bytes it was parsed from. Pure functions.
#ifndef NRPC_FRAME_H
#define NRPC_FRAME_H

#include "nrpc/nrpc.h"
#include "nrpc/wire.h"

enum frame_kind {
    FRAME_REQUEST = 1,
    FRAME_RESPONSE = 2,
    FRAME_MESSAGE = 3,
    FRAME_HALF_CLOSE = 4,
    FRAME_CANCEL = 5,
    FRAME_CREDIT = 6,
    FRAME_GOODBYE = 7,
    FRAME_ACK = 8,
    FRAME_PING = 9,
    FRAME_DRAIN = 10,
    FRAME_BATCH = 11,
};

enum {
    FRAME_METADATA_MAX = 64,
    FRAME_METADATA_BYTES_MAX = 8 << 10,
    FRAME_METHOD_MAX = 512,
    FRAME_ACK_SIZE = 6, // the encoded field `ack`, with which every frame that we write ends
};

struct frame {
    uint32_t version, kind;
    struct wire_bytes method;
    uint64_t timeout_us;
    uint32_t status;
    struct wire_bytes status_text, status_details;
    uint32_t credit, ack;
    bool not_begun; // a RESPONSE to a call that the server did not begin
    uint32_t metadata_count, trailer_count;
    // reading only
    uint32_t metadata_bytes; // of all keys and values
    uint32_t payload_count;
    struct wire_bytes payload; // the first
    struct wire_bytes all;     // where it was parsed from
    // writing only
    const struct nrpc_metadata *metadata, *trailers;
};

// Any valid encoding of the schema is taken, unknown fields are passed over. INVALID_ARGUMENT says what is
// malformed.
int frame_parse(const void *data, size_t size, struct frame *out, struct nrpc_status *st);

// Takes the next payload out of *rest, which begins as a parsed frame's `all`; false: there is none left.
bool frame_next_payload(struct wire_bytes *rest, struct wire_bytes *payload);

// Copies the entries of a parsed frame into arrays with room for metadata_count and trailer_count; their
// texts into text, FRAME_TEXT_SIZE bytes.
void frame_copy_metadata(const struct frame *f, struct nrpc_metadata *metadata,
                         struct nrpc_metadata *trailers, char *text);
#define FRAME_TEXT_SIZE(f) ((f)->metadata_bytes + 2 * ((f)->metadata_count + (f)->trailer_count))

// The encoded size of a frame with one payload of payload_size bytes (with_payload false: none).
size_t frame_size(const struct frame *f, bool with_payload, size_t payload_size);

// Writes all but the payload's bytes, and returns where those go. The last FRAME_ACK_SIZE bytes are the field
// ack, which may be written over.
uint8_t *frame_write(const struct frame *f, bool with_payload, size_t payload_size, uint8_t *out);
void frame_write_ack(uint8_t *out, uint32_t ack);

// The kind of a frame that was written here.
enum frame_kind frame_kind_of(const uint8_t *frame);

// Writes over the timeout of a frame that was written with one (not 0). Below 2^63.
void frame_set_timeout(uint8_t *frame, uint64_t timeout_us);

// One more payload: its encoded size, and its tag and length; returns where its bytes go.
size_t frame_payload_size(size_t payload_size);
uint8_t *frame_write_payload(uint8_t *out, size_t payload_size);

// INVALID_ARGUMENT if metadata breaks the rules for keys, values, number or size.
int frame_check_metadata(const struct nrpc_metadata *metadata, size_t count, struct nrpc_status *st);

#endif
