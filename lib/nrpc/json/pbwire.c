// SPDX-License-Identifier: Apache-2.0
// pbwire.c: varints, fixed numbers, lengths, and how to step over a group.
#include "nrpc/json/pbwire.h"

enum { GROUPS_MAX = 100, VARINT_BYTES_MAX = 10 };

struct pbwire_reader pbwire_reader(const void *data, size_t size)
{
    const uint8_t *at = data;
    return (struct pbwire_reader){at, at ? at + size : at};
}

static bool take_varint(struct pbwire_reader *r, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool take_fixed(struct pbwire_reader *r, size_t size, uint64_t *out)
{
    if ((size_t)(r->end - r->at) < size)
        return false;
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out |= (uint64_t)r->at[i] << (8 * i);
    r->at += size;
    return true;
}

bool pbwire_bits(struct pbwire_reader *r, enum pbwire_type type, uint64_t *out)
{
    if (type == PBWIRE_VARINT)
        return take_varint(r, out);
    return take_fixed(r, type == PBWIRE_64BIT ? 8 : 4, out);
}

static bool take_bytes(struct pbwire_reader *r, struct pbwire_field *out)
{
    uint64_t size;
    if (!take_varint(r, &size) || size > (uint64_t)(r->end - r->at))
        return false;
    out->data = r->at;
    out->size = (size_t)size;
    r->at += size;
    return true;
}

// One tag and, unless it begins or ends a group, what follows it.
static bool take_item(struct pbwire_reader *r, struct pbwire_field *out)
{
    uint64_t tag;
    if (!take_varint(r, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    *out = (struct pbwire_field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    switch (out->type) {
    case PBWIRE_VARINT:
    case PBWIRE_64BIT:
    case PBWIRE_32BIT:
        return pbwire_bits(r, out->type, &out->bits);
    case PBWIRE_BYTES:
        return take_bytes(r, out);
    case PBWIRE_GROUP:
    case PBWIRE_GROUP_END:
        return true;
    }
    return false;
}

static bool skip_group(struct pbwire_reader *r, uint32_t number)
{
    uint32_t open[GROUPS_MAX] = {number};
    int depth = 1;
    struct pbwire_field item;
    while (depth > 0) {
        if (!take_item(r, &item))
            return false;
        if (item.type == PBWIRE_GROUP_END && item.number != open[--depth])
            return false;
        if (item.type == PBWIRE_GROUP) {
            if (depth == GROUPS_MAX)
                return false;
            open[depth++] = item.number;
        }
    }
    return true;
}

bool pbwire_next(struct pbwire_reader *r, struct pbwire_field *out)
{
    const uint8_t *start = r->at;
    if (start == r->end)
        return false;
    if (take_item(r, out) && out->type != PBWIRE_GROUP_END &&
        (out->type != PBWIRE_GROUP || skip_group(r, out->number)))
        return true;
    r->at = start;
    return false;
}

// ---- writing

static size_t make_varint(uint64_t v, uint8_t *out)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

void pbwire_put_bits(struct buffer *b, enum pbwire_type type, uint64_t bits)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t size = type == PBWIRE_64BIT ? 8 : 4;
    if (type == PBWIRE_VARINT)
        size = make_varint(bits, bytes);
    else
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(bits >> (8 * i));
    buffer_add(b, bytes, size);
}

void pbwire_put_tag(struct buffer *b, uint32_t number, enum pbwire_type type)
{
    pbwire_put_bits(b, PBWIRE_VARINT, (uint64_t)number << 3 | type);
}

void pbwire_put_bytes(struct buffer *b, uint32_t number, const void *data, size_t size)
{
    pbwire_put_tag(b, number, PBWIRE_BYTES);
    pbwire_put_bits(b, PBWIRE_VARINT, size);
    buffer_add(b, data, size);
}

size_t pbwire_open(struct buffer *b)
{
    pbwire_put_bits(b, PBWIRE_VARINT, 0); // most lengths take one byte
    return b->size;
}

void pbwire_close(struct buffer *b, size_t opened)
{
    if (b->is_full)
        return;
    uint8_t length[VARINT_BYTES_MAX];
    size_t n = make_varint(b->size - opened, length);
    buffer_insert(b, opened, length + 1, n - 1);
    b->data[opened - 1] = length[0];
}
