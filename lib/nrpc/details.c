// SPDX-License-Identifier: Apache-2.0
// details.c: Status { code = 1, message = 2, details = 3 } of Any { type_url = 1, value = 2 }.
#include "nrpc/details.h"

#include <string.h>

enum { STATUS_CODE = 1, STATUS_MESSAGE = 2, STATUS_DETAILS = 3, ANY_TYPE_URL = 1, ANY_VALUE = 2 };

static const char type_prefix[] = "type.googleapis.com/";

static size_t url_size(const ProtobufCMessage *m)
{
    return sizeof type_prefix - 1 + strlen(m->descriptor->name);
}

static size_t any_size(const ProtobufCMessage *m)
{
    return wire_bytes_size(url_size(m)) + wire_bytes_size(protobuf_c_message_get_packed_size(m));
}

static uint8_t *write_any(uint8_t *p, const ProtobufCMessage *m)
{
    p = wire_write_bytes(p, STATUS_DETAILS, NULL, any_size(m));
    p = wire_write_bytes(p, ANY_TYPE_URL, NULL, url_size(m));
    memcpy(p, type_prefix, sizeof type_prefix - 1);
    memcpy(p + sizeof type_prefix - 1, m->descriptor->name, strlen(m->descriptor->name));
    p = wire_write_bytes(p + url_size(m), ANY_VALUE, NULL, protobuf_c_message_get_packed_size(m));
    return p + protobuf_c_message_pack(m, p);
}

size_t details_size(const struct nrpc_status *st, const ProtobufCMessage *const *details, size_t count)
{
    size_t size = wire_number_size((uint64_t)st->code) + wire_bytes_size(strlen(st->text));
    for (size_t i = 0; i < count; i++)
        size += wire_bytes_size(any_size(details[i]));
    return size;
}

struct wire_bytes details_pack(struct arena *a, const struct nrpc_status *st,
                               const ProtobufCMessage *const *details, size_t count)
{
    size_t size = details_size(st, details, count);
    uint8_t *data = arena_alloc(a, size);
    if (!data)
        return (struct wire_bytes){NULL, 0};
    uint8_t *p = wire_write_number(data, STATUS_CODE, (uint64_t)st->code);
    p = wire_write_bytes(p, STATUS_MESSAGE, st->text, strlen(st->text));
    for (size_t i = 0; i < count; i++)
        p = write_any(p, details[i]);
    return (struct wire_bytes){data, size};
}

// The value of an Any if it is of the type named so.
static bool read_any(struct wire_bytes any, const char *type, struct wire_bytes *value)
{
    struct wire_reader r = {any.data, any.data + any.size};
    struct wire_item i;
    struct wire_bytes url = {NULL, 0};
    *value = (struct wire_bytes){any.data, 0};
    while (r.at < r.end && wire_next(&r, &i)) {
        if (i.type == WIRE_BYTES && i.number == ANY_TYPE_URL)
            url = i.bytes;
        else if (i.type == WIRE_BYTES && i.number == ANY_VALUE)
            *value = i.bytes;
    }
    size_t n = strlen(type);
    return url.size > n && !memcmp(url.data + url.size - n, type, n) && url.data[url.size - n - 1] == '/';
}

ProtobufCMessage *nrpc_detail(const struct nrpc_outcome *outcome, const ProtobufCMessageDescriptor *type,
                              ProtobufCAllocator *allocator)
{
    const uint8_t *data = outcome->details;
    if (!data)
        return NULL;
    struct wire_reader r = {data, data + outcome->details_bytes};
    struct wire_item i;
    struct wire_bytes value;
    while (r.at < r.end && wire_next(&r, &i))
        if (i.type == WIRE_BYTES && i.number == STATUS_DETAILS && read_any(i.bytes, type->name, &value))
            return protobuf_c_message_unpack(type, allocator, value.size, value.data);
    return NULL;
}
