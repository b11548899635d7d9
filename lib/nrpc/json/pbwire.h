// SPDX-License-Identifier: Apache-2.0
// pbwire.h: protobuf's wire format, field by field, without knowing what the fields mean.
#ifndef NRPC_JSON_PBWIRE_H
#define NRPC_JSON_PBWIRE_H

#include "nrpc/json/buffer.h"

#include <stdint.h>

enum pbwire_type {
    PBWIRE_VARINT = 0,
    PBWIRE_64BIT = 1,
    PBWIRE_BYTES = 2,
    PBWIRE_GROUP = 3,
    PBWIRE_GROUP_END = 4,
    PBWIRE_32BIT = 5,
};

struct pbwire_reader {
    const uint8_t *at, *end;
};

struct pbwire_field {
    uint32_t number;
    enum pbwire_type type; // never PBWIRE_GROUP_END
    uint64_t bits;         // of the number types
    const uint8_t *data;   // of PBWIRE_BYTES: points into what is read
    size_t size;
};

struct pbwire_reader pbwire_reader(const void *data, size_t size);

// Takes one field; a group with all that is in it is one. False at the end, and then r->at == r->end; or
// where there is no valid field, and then it is not.
bool pbwire_next(struct pbwire_reader *r, struct pbwire_field *out);

// Takes one number of this wire type.
bool pbwire_bits(struct pbwire_reader *r, enum pbwire_type type, uint64_t *out);

void pbwire_put_tag(struct buffer *b, uint32_t number, enum pbwire_type type);
void pbwire_put_bits(struct buffer *b, enum pbwire_type type, uint64_t bits);
void pbwire_put_bytes(struct buffer *b, uint32_t number, const void *data, size_t size);

// What is added between the two gets its length in front.
size_t pbwire_open(struct buffer *b);
void pbwire_close(struct buffer *b, size_t opened);

#endif
