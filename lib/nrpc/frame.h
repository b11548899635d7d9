// SPDX-License-Identifier: Apache-2.0
// frame.h: reads and writes nrpc.v1.Frame (proto/nrpc/v1/frame.proto) in place, without allocating.
//
// A parsed frame points into the bytes it was parsed from. Pure functions.
#ifndef NRPC_FRAME_H
#define NRPC_FRAME_H

#include "nrpc/nrpc.h"

enum frame_kind {
    FRAME_REQUEST = 1,
    FRAME_RESPONSE = 2,
    FRAME_MESSAGE = 3,
    FRAME_HALF_CLOSE = 4,
    FRAME_CANCEL = 5,
    FRAME_CREDIT = 6,
    FRAME_GOODBYE = 7,
};

enum { FRAME_METADATA_MAX = 64, FRAME_METADATA_BYTES_MAX = 8 << 10, FRAME_METHOD_MAX = 512 };

struct frame_bytes {
    const uint8_t *data;
    size_t size;
};

struct frame {
    uint32_t version, kind;
    struct frame_bytes method;
    uint64_t timeout_us;
    uint32_t status;
    struct frame_bytes status_text, status_details;
    uint32_t credit;
    struct frame_bytes payload; // the first
    uint32_t payload_count;
    uint32_t metadata_count;
    struct frame_bytes all; // where it was parsed from
    // writing only
    const struct nrpc_metadata *metadata;
};

// Any valid encoding of the schema is taken, unknown fields are passed over. INVALID_ARGUMENT says what is
// malformed.
int frame_parse(const void *data, size_t size, struct frame *out, struct nrpc_status *st);

// The value of the first metadata entry under this key; data NULL: there is none.
struct frame_bytes frame_metadata(const struct frame *f, const char *key);

// The encoded size of a frame with one payload of payload_size bytes (with_payload false: none).
size_t frame_size(const struct frame *f, bool with_payload, size_t payload_size);

// Writes all but the payload's bytes, and returns where those go: the last payload_size bytes of the frame.
uint8_t *frame_write(const struct frame *f, bool with_payload, size_t payload_size, uint8_t *out);

// INVALID_ARGUMENT if metadata breaks the rules for keys, number or size.
int frame_check_metadata(const struct nrpc_metadata *metadata, size_t count, struct nrpc_status *st);

#endif
