// SPDX-License-Identifier: Apache-2.0
// frame.c: the envelope, read and written in place.
#include "nrpc/frame.h"

#include "base/utf8.h"
#include "nrpc/wire.h"

#include <string.h>

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
    F_ACK = 10,
    F_TRAILERS = 11,
    F_NOT_BEGUN = 12,
    F_PAYLOAD = 15,
    M_KEY = 1,
    M_VALUE = 2,
};

// ---- reading

static bool read_metadata(struct wire_bytes entry, struct wire_bytes *key, struct wire_bytes *value)
{
    struct wire_reader r = {entry.data, entry.data + entry.size};
    *key = *value = (struct wire_bytes){entry.data, 0};
    while (r.at < r.end) {
        struct wire_item i;
        if (!wire_next(&r, &i))
            return false;
        if (i.type == WIRE_BYTES && i.number == M_KEY)
            *key = i.bytes;
        else if (i.type == WIRE_BYTES && i.number == M_VALUE)
            *value = i.bytes;
    }
    return true;
}

static void take_varint(struct frame *f, const struct wire_item *i)
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
    else if (i->number == F_ACK)
        f->ack = (uint32_t)i->varint;
    else if (i->number == F_NOT_BEGUN)
        f->not_begun = i->varint != 0;
}

static void take_bytes(struct frame *f, const struct wire_item *i)
{
    if (i->number == F_METHOD)
        f->method = i->bytes;
    else if (i->number == F_STATUS_TEXT)
        f->status_text = i->bytes;
    else if (i->number == F_STATUS_DETAILS)
        f->status_details = i->bytes;
    else if (i->number == F_PAYLOAD && f->payload_count++ == 0)
        f->payload = i->bytes;
}

static bool is_key(const uint8_t *key, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    for (size_t i = 0; i < size; i++)
        if (!key[i] || !strchr(allowed, key[i]))
            return false;
    return size > 0;
}

static bool is_binary(const void *key, size_t size)
{
    return size >= 4 && !memcmp((const char *)key + size - 4, "-bin", 4);
}

static bool is_value(const uint8_t *value, size_t size, bool binary)
{
    return binary || size == 0 || utf8_is_valid_bytes(value, size);
}

// Checks an entry and counts it.
static bool take_metadata(struct frame *f, const struct wire_item *i)
{
    struct wire_bytes key, value;
    if (!read_metadata(i->bytes, &key, &value) || !is_key(key.data, key.size) ||
        !is_value(value.data, value.size, is_binary(key.data, key.size)))
        return false;
    if (i->number == F_METADATA)
        f->metadata_count++;
    else
        f->trailer_count++;
    f->metadata_bytes += (uint32_t)(key.size + value.size);
    return f->metadata_bytes <= FRAME_METADATA_BYTES_MAX &&
           f->metadata_count + f->trailer_count <= FRAME_METADATA_MAX;
}

static bool is_metadata(const struct wire_item *i)
{
    return i->type == WIRE_BYTES && (i->number == F_METADATA || i->number == F_TRAILERS);
}

int frame_parse(const void *data, size_t size, struct frame *out, struct nrpc_status *st)
{
    *out = (struct frame){.all = {size ? data : "", size}};
    struct wire_reader r = {out->all.data, out->all.data + size};
    while (r.at < r.end) {
        struct wire_item i;
        size_t at = (size_t)(r.at - out->all.data);
        if (!wire_next(&r, &i))
            return status_set(st, NRPC_INVALID_ARGUMENT, "malformed frame at byte %zu of %zu", at, size);
        if (i.type == WIRE_VARINT)
            take_varint(out, &i);
        else if (i.type == WIRE_BYTES)
            take_bytes(out, &i);
        if (is_metadata(&i) && !take_metadata(out, &i))
            return status_set(st, NRPC_INVALID_ARGUMENT,
                              "malformed metadata at byte %zu of %zu, or over %d entries or %d bytes", at,
                              size, FRAME_METADATA_MAX, FRAME_METADATA_BYTES_MAX);
    }
    if (out->method.size > FRAME_METHOD_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "method name over %d bytes", FRAME_METHOD_MAX);
    return NRPC_OK;
}

bool frame_next_payload(struct wire_bytes *rest, struct wire_bytes *payload)
{
    if (!rest->size)
        return false;
    struct wire_reader r = {rest->data, rest->data + rest->size};
    struct wire_item i;
    while (r.at < r.end && wire_next(&r, &i))
        if (i.type == WIRE_BYTES && i.number == F_PAYLOAD) {
            *rest = (struct wire_bytes){r.at, (size_t)(r.end - r.at)};
            *payload = i.bytes;
            return true;
        }
    *rest = (struct wire_bytes){r.end, 0};
    return false;
}

static char *copy_text(char *to, struct wire_bytes from)
{
    memcpy(to, from.data, from.size);
    to[from.size] = 0;
    return to + from.size + 1;
}

void frame_copy_metadata(const struct frame *f, struct nrpc_metadata *metadata,
                         struct nrpc_metadata *trailers, char *text)
{
    struct wire_reader r = {f->all.data, f->all.data + f->all.size};
    struct wire_item i;
    while (r.at < r.end && wire_next(&r, &i)) {
        struct wire_bytes key, value;
        if (!is_metadata(&i) || !read_metadata(i.bytes, &key, &value))
            continue;
        struct nrpc_metadata *m = i.number == F_METADATA ? metadata++ : trailers++;
        m->key = text;
        text = copy_text(text, key);
        m->value = text;
        m->value_bytes = value.size;
        text = copy_text(text, value);
    }
}

// ---- writing

static size_t value_size(const struct nrpc_metadata *m)
{
    return m->value_bytes ? m->value_bytes : strlen(m->value);
}

static size_t entry_size(const struct nrpc_metadata *m)
{
    return wire_bytes_size(strlen(m->key)) + wire_bytes_size(value_size(m));
}

static size_t metadata_size(const struct nrpc_metadata *m, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += wire_bytes_size(entry_size(&m[i]));
    return n;
}

static uint8_t *write_metadata(uint8_t *p, enum field field, const struct nrpc_metadata *m, size_t count)
{
    for (; count; count--, m++) {
        p = wire_write_bytes(p, field, NULL, entry_size(m));
        p = wire_write_bytes(p, M_KEY, m->key, strlen(m->key));
        *p++ = (uint8_t)(M_VALUE << 3 | WIRE_BYTES);
        p = wire_write_varint(p, value_size(m));
        memcpy(p, m->value, value_size(m));
        p += value_size(m);
    }
    return p;
}

static size_t text_size(struct wire_bytes b)
{
    return b.size ? wire_bytes_size(b.size) : 0;
}

static uint8_t *write_text(uint8_t *p, enum field field, struct wire_bytes b)
{
    return b.size ? wire_write_bytes(p, field, b.data, b.size) : p;
}

// A varint padded to a fixed length, so that it can be written over.
static uint8_t *write_padded(uint8_t *p, uint64_t v, unsigned size)
{
    for (unsigned i = 1; i < size; i++, v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)(v & 0x7f);
    return p;
}

// Third in a frame, behind two numbers of one byte each: version and kind.
enum { TIMEOUT_AT = 4, TIMEOUT_SIZE = 10 };

static uint8_t *write_timeout(uint8_t *p, uint64_t timeout_us)
{
    *p++ = (uint8_t)(F_TIMEOUT << 3 | WIRE_VARINT);
    return write_padded(p, timeout_us, TIMEOUT_SIZE - 1);
}

size_t frame_payload_size(size_t payload_size)
{
    return wire_bytes_size(payload_size);
}

uint8_t *frame_write_payload(uint8_t *p, size_t payload_size)
{
    return wire_write_bytes(p, F_PAYLOAD, NULL, payload_size);
}

size_t frame_size(const struct frame *f, bool with_payload, size_t payload_size)
{
    return wire_number_size(f->version) + wire_number_size(f->kind) + text_size(f->method) +
           (f->timeout_us ? TIMEOUT_SIZE : 0) + metadata_size(f->metadata, f->metadata_count) +
           wire_number_size(f->status) + text_size(f->status_text) + text_size(f->status_details) +
           wire_number_size(f->credit) + metadata_size(f->trailers, f->trailer_count) +
           wire_number_size(f->not_begun) + (with_payload ? wire_bytes_size(payload_size) : 0) +
           FRAME_ACK_SIZE;
}

uint8_t *frame_write(const struct frame *f, bool with_payload, size_t payload_size, uint8_t *p)
{
    p = wire_write_number(p, F_VERSION, f->version);
    p = wire_write_number(p, F_KIND, f->kind);
    if (f->timeout_us)
        p = write_timeout(p, f->timeout_us);
    p = write_text(p, F_METHOD, f->method);
    p = write_metadata(p, F_METADATA, f->metadata, f->metadata_count);
    p = wire_write_number(p, F_STATUS, f->status);
    p = write_text(p, F_STATUS_TEXT, f->status_text);
    p = write_text(p, F_STATUS_DETAILS, f->status_details);
    p = wire_write_number(p, F_CREDIT, f->credit);
    p = write_metadata(p, F_TRAILERS, f->trailers, f->trailer_count);
    p = wire_write_number(p, F_NOT_BEGUN, f->not_begun);
    if (with_payload)
        p = wire_write_bytes(p, F_PAYLOAD, NULL, payload_size);
    frame_write_ack(p + (with_payload ? payload_size : 0), f->ack);
    return p;
}

void frame_write_ack(uint8_t *p, uint32_t ack)
{
    *p++ = (uint8_t)(F_ACK << 3 | WIRE_VARINT);
    write_padded(p, ack, FRAME_ACK_SIZE - 1);
}

enum frame_kind frame_kind_of(const uint8_t *frame)
{
    return (enum frame_kind)frame[TIMEOUT_AT - 1];
}

void frame_set_timeout(uint8_t *frame, uint64_t timeout_us)
{
    write_timeout(frame + TIMEOUT_AT, timeout_us);
}

int frame_check_metadata(const struct nrpc_metadata *m, size_t count, struct nrpc_status *st)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t key_size = strlen(m[i].key);
        if (!is_key((const uint8_t *)m[i].key, key_size))
            return status_set(st, NRPC_INVALID_ARGUMENT,
                              "metadata key \"%s\": only a-z 0-9 - _ . are allowed", m[i].key);
        if (!is_value((const uint8_t *)m[i].value, value_size(&m[i]), is_binary(m[i].key, key_size)))
            return status_set(st, NRPC_INVALID_ARGUMENT,
                              "metadata \"%s\": its value is no UTF-8 text, and its key does not end in -bin",
                              m[i].key);
        bytes += key_size + value_size(&m[i]);
    }
    if (count > FRAME_METADATA_MAX || bytes > FRAME_METADATA_BYTES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "metadata over %d entries or %d bytes",
                          FRAME_METADATA_MAX, FRAME_METADATA_BYTES_MAX);
    return NRPC_OK;
}
