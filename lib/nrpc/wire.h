// SPDX-License-Identifier: Apache-2.0
// wire.h: the protobuf wire format as far as our own envelopes need it, without allocating. Pure functions.
#ifndef NRPC_WIRE_H
#define NRPC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_bytes {
    const uint8_t *data;
    size_t size;
};

struct wire_reader {
    const uint8_t *at, *end;
};

struct wire_item { // one field as read
    uint32_t number;
    enum wire_type type;
    uint64_t varint;
    struct wire_bytes bytes; // of all other types
};

// Reads the next field; false: the bytes are malformed (groups, which proto3 does not have, are).
bool wire_next(struct wire_reader *r, struct wire_item *out);
bool wire_read_varint(struct wire_reader *r, uint64_t *out);

// Sizes of encoded fields with numbers up to 15. A number that is 0 is not encoded.
size_t wire_varint_size(uint64_t v);
size_t wire_number_size(uint64_t v);
size_t wire_bytes_size(size_t size);

// Write a field and return its end. Without data, the tag and length only: the bytes go where it returns.
uint8_t *wire_write_varint(uint8_t *p, uint64_t v);
uint8_t *wire_write_number(uint8_t *p, uint32_t field, uint64_t v);
uint8_t *wire_write_bytes(uint8_t *p, uint32_t field, const void *data, size_t size);

#endif
