// SPDX-License-Identifier: Apache-2.0
// wire.c: protobuf's varints and length-delimited fields.
#include "nrpc/wire.h"

#include <string.h>

// ---- reading

bool wire_read_varint(struct wire_reader *r, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t b = *r->at++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *out = v;
            return shift < 63 || b <= 1;
        }
    }
    return false;
}

static bool read_span(struct wire_reader *r, uint64_t size, struct wire_bytes *out)
{
    if (size > (uint64_t)(r->end - r->at))
        return false;
    *out = (struct wire_bytes){r->at, (size_t)size};
    r->at += size;
    return true;
}

bool wire_next(struct wire_reader *r, struct wire_item *out)
{
    uint64_t tag, size;
    if (!wire_read_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
        return false;
    out->number = (uint32_t)(tag >> 3);
    out->type = (enum wire_type)(tag & 7);
    if (out->type == WIRE_VARINT)
        return wire_read_varint(r, &out->varint);
    if (out->type == WIRE_FIXED64)
        return read_span(r, 8, &out->bytes);
    if (out->type == WIRE_FIXED32)
        return read_span(r, 4, &out->bytes);
    if (out->type == WIRE_BYTES)
        return wire_read_varint(r, &size) && read_span(r, size, &out->bytes);
    return false; // groups do not exist in proto3
}

// ---- writing

size_t wire_varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v > 0x7f; v >>= 7)
        n++;
    return n;
}

uint8_t *wire_write_varint(uint8_t *p, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

size_t wire_number_size(uint64_t v)
{
    return v ? 1 + wire_varint_size(v) : 0;
}

uint8_t *wire_write_number(uint8_t *p, uint32_t field, uint64_t v)
{
    if (!v)
        return p;
    *p++ = (uint8_t)(field << 3 | WIRE_VARINT);
    return wire_write_varint(p, v);
}

size_t wire_bytes_size(size_t size)
{
    return 1 + wire_varint_size(size) + size;
}

uint8_t *wire_write_bytes(uint8_t *p, uint32_t field, const void *data, size_t size)
{
    *p++ = (uint8_t)(field << 3 | WIRE_BYTES);
    p = wire_write_varint(p, size);
    if (data && size)
        memcpy(p, data, size);
    return data ? p + size : p;
}
