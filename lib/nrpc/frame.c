// SPDX-License-Identifier: Apache-2.0
// frame.c: the protobuf wire format, as far as nrpc.v1.Frame needs it.
#include "nrpc/frame.h"

#include <string.h>

enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

enum field { // the numbers in frame.proto
    F_VERSION = 1,
    F_KIND = 2,
    F_METHOD = 3,
    F_TIMEOUT = 4,
    F_METADATA = 5,
    F_STATUS = 6,
    F_STATUS_TEXT = 7,
    F_STATUS_DETAILS = 8,
    F_CREDIT = 9,
    F_PAYLOAD = 15,
    M_KEY = 1,
    M_VALUE = 2,
};

// ---- reading

struct reader {
    const uint8_t *at, *end;
};

struct item { // one field as read
    uint32_t number;
    enum wire_type type;
    uint64_t varint;
    struct frame_bytes bytes;
};

static bool read_varint(struct reader *r, uint64_t *out)
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

static bool read_bytes(struct reader *r, uint64_t size, struct frame_bytes *out)
{
    if (size > (uint64_t)(r->end - r->at))
        return false;
    *out = (struct frame_bytes){r->at, (size_t)size};
    r->at += size;
    return true;
}

static bool read_item(struct reader *r, struct item *out)
{
    uint64_t tag, size;
    if (!read_varint(r, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
        return false;
    out->number = (uint32_t)(tag >> 3);
    out->type = (enum wire_type)(tag & 7);
    if (out->type == VARINT)
        return read_varint(r, &out->varint);
    if (out->type == FIXED64)
        return read_bytes(r, 8, &out->bytes);
    if (out->type == FIXED32)
        return read_bytes(r, 4, &out->bytes);
    if (out->type == BYTES)
        return read_varint(r, &size) && read_bytes(r, size, &out->bytes);
    return false; // groups do not exist in proto3
}

static bool read_metadata(struct frame_bytes entry, struct frame_bytes *key, struct frame_bytes *value)
{
    struct reader r = {entry.data, entry.data + entry.size};
    *key = *value = (struct frame_bytes){entry.data, 0};
    while (r.at < r.end) {
        struct item i;
        if (!read_item(&r, &i))
            return false;
        if (i.type == BYTES && i.number == M_KEY)
            *key = i.bytes;
        else if (i.type == BYTES && i.number == M_VALUE)
            *value = i.bytes;
    }
    return true;
}

static void take_varint(struct frame *f, const struct item *i)
{
    if (i->number == F_VERSION)
        f->version = (uint32_t)i->varint;
    else if (i->number == F_KIND)
        f->kind = (uint32_t)i->varint;
    else if (i->number == F_TIMEOUT)
        f->timeout_us = i->varint;
    else if (i->number == F_STATUS)
        f->status = (uint32_t)i->varint;
    else if (i->number == F_CREDIT)
        f->credit = (uint32_t)i->varint;
}

static void take_bytes(struct frame *f, const struct item *i)
{
    if (i->number == F_METHOD)
        f->method = i->bytes;
    else if (i->number == F_STATUS_TEXT)
        f->status_text = i->bytes;
    else if (i->number == F_STATUS_DETAILS)
        f->status_details = i->bytes;
    else if (i->number == F_METADATA)
        f->metadata_count++;
    else if (i->number == F_PAYLOAD && f->payload_count++ == 0)
        f->payload = i->bytes;
}

int frame_parse(const void *data, size_t size, struct frame *out, struct nrpc_status *st)
{
    *out = (struct frame){.all = {data, size}};
    struct reader r = {data, (const uint8_t *)data + size};
    size_t metadata_bytes = 0;
    while (r.at < r.end) {
        struct item i;
        size_t at = (size_t)(r.at - out->all.data);
        if (!read_item(&r, &i))
            return status_set(st, NRPC_INVALID_ARGUMENT, "malformed frame at byte %zu of %zu", at, size);
        if (i.type == VARINT)
            take_varint(out, &i);
        else if (i.type == BYTES)
            take_bytes(out, &i);
        if (i.type == BYTES && i.number == F_METADATA) {
            struct frame_bytes key, value;
            if (!read_metadata(i.bytes, &key, &value))
                return status_set(st, NRPC_INVALID_ARGUMENT, "malformed metadata at byte %zu of %zu", at,
                                  size);
            metadata_bytes += key.size + value.size;
        }
    }
    if (out->metadata_count > FRAME_METADATA_MAX || metadata_bytes > FRAME_METADATA_BYTES_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "metadata over %d entries or %d bytes",
                          FRAME_METADATA_MAX, FRAME_METADATA_BYTES_MAX);
    if (out->method.size > FRAME_METHOD_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "method name over %d bytes", FRAME_METHOD_MAX);
    return NRPC_OK;
}

struct frame_bytes frame_metadata(const struct frame *f, const char *key)
{
    struct reader r = {f->all.data, f->all.data + f->all.size};
    size_t key_size = strlen(key);
    struct item i;
    while (r.at < r.end && read_item(&r, &i)) {
        struct frame_bytes k, v;
        if (i.type == BYTES && i.number == F_METADATA && read_metadata(i.bytes, &k, &v) &&
            k.size == key_size && !memcmp(k.data, key, key_size))
            return v;
    }
    return (struct frame_bytes){NULL, 0};
}

// ---- writing

static size_t varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v > 0x7f; v >>= 7)
        n++;
    return n;
}

static uint8_t *write_varint(uint8_t *p, uint64_t v)
{
    for (; v > 0x7f; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static size_t number_size(uint64_t v)
{
    return v ? 1 + varint_size(v) : 0;
}

static uint8_t *write_number(uint8_t *p, enum field field, uint64_t v)
{
    if (!v)
        return p;
    *p++ = (uint8_t)(field << 3 | VARINT);
    return write_varint(p, v);
}

static size_t bytes_size(size_t size)
{
    return 1 + varint_size(size) + size;
}

static uint8_t *write_bytes(uint8_t *p, enum field field, const void *data, size_t size)
{
    *p++ = (uint8_t)(field << 3 | BYTES);
    p = write_varint(p, size);
    if (data && size)
        memcpy(p, data, size);
    return data ? p + size : p;
}

static size_t entry_size(const struct nrpc_metadata *m)
{
    return bytes_size(strlen(m->key)) + bytes_size(strlen(m->value));
}

size_t frame_size(const struct frame *f, bool with_payload, size_t payload_size)
{
    size_t n = number_size(f->version) + number_size(f->kind) + number_size(f->timeout_us) +
               number_size(f->status) + number_size(f->credit);
    if (f->method.size)
        n += bytes_size(f->method.size);
    if (f->status_text.size)
        n += bytes_size(f->status_text.size);
    if (f->status_details.size)
        n += bytes_size(f->status_details.size);
    for (uint32_t i = 0; i < f->metadata_count; i++)
        n += bytes_size(entry_size(&f->metadata[i]));
    return with_payload ? n + bytes_size(payload_size) : n;
}

uint8_t *frame_write(const struct frame *f, bool with_payload, size_t payload_size, uint8_t *p)
{
    p = write_number(p, F_VERSION, f->version);
    p = write_number(p, F_KIND, f->kind);
    if (f->method.size)
        p = write_bytes(p, F_METHOD, f->method.data, f->method.size);
    p = write_number(p, F_TIMEOUT, f->timeout_us);
    for (uint32_t i = 0; i < f->metadata_count; i++) {
        const struct nrpc_metadata *m = &f->metadata[i];
        p = write_bytes(p, F_METADATA, NULL, entry_size(m));
        p = write_bytes(p, M_KEY, m->key, strlen(m->key));
        p = write_bytes(p, M_VALUE, m->value, strlen(m->value));
    }
    p = write_number(p, F_STATUS, f->status);
    if (f->status_text.size)
        p = write_bytes(p, F_STATUS_TEXT, f->status_text.data, f->status_text.size);
    if (f->status_details.size)
        p = write_bytes(p, F_STATUS_DETAILS, f->status_details.data, f->status_details.size);
    p = write_number(p, F_CREDIT, f->credit);
    return with_payload ? write_bytes(p, F_PAYLOAD, NULL, payload_size) : p;
}

static bool is_key(const char *key)
{
    return *key && key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == 0;
}

int frame_check_metadata(const struct nrpc_metadata *metadata, size_t count, struct nrpc_status *st)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_key(metadata[i].key))
            return status_set(st, NRPC_INVALID_ARGUMENT,
                              "metadata key \"%s\": only a-z 0-9 - _ . are allowed", metadata[i].key);
        bytes += strlen(metadata[i].key) + strlen(metadata[i].value);
    }
    if (count > FRAME_METADATA_MAX || bytes > FRAME_METADATA_BYTES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "metadata over %d entries or %d bytes",
                          FRAME_METADATA_MAX, FRAME_METADATA_BYTES_MAX);
    return NRPC_OK;
}
