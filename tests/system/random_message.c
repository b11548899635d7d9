// SPDX-License-Identifier: Apache-2.0
// random_message.c: writes protobuf by hand, field by field, as the descriptor says.
#include "system/random_message.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 4, REPEATS_MAX = 4, BYTES_MAX = 150 };

struct writer {
    uint8_t *at, *end;
    const struct random_words *words;
};

static void put_varint(struct writer *w, uint64_t v)
{
    do {
        if (w->at < w->end)
            *w->at++ = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
}

static void put_bytes(struct writer *w, const void *data, size_t size)
{
    put_varint(w, size);
    size_t n = size < (size_t)(w->end - w->at) ? size : (size_t)(w->end - w->at);
    memcpy(w->at, data, n);
    w->at += n;
}

static uint64_t random_number(const struct random_words *words)
{
    static const uint64_t edges[] = {0,     1,     2,         5,          100,        1001,     9001,
                                     10001, 60001, INT32_MAX, UINT32_MAX, 1ull << 62, INT64_MAX};
    long what = random() % 6;
    if (what == 0 && words->id_count)
        return words->ids[(size_t)random() % words->id_count];
    if (what == 1)
        return ((uint64_t)random() << 33) ^ (uint64_t)random();
    if (what == 2)
        return UINT64_MAX - (uint64_t)random() % 3;
    return edges[(size_t)random() % (sizeof edges / sizeof *edges)];
}

static void put_text(struct writer *w)
{
    char text[1100];
    size_t count = 0, size;
    while (w->words->texts[count])
        count++;
    long what = random() % 4;
    if (what < 2 && count) {
        const char *word = w->words->texts[(size_t)random() % count];
        put_bytes(w, word, strlen(word));
        return;
    }
    size = what == 2 ? (size_t)random() % 20 : (size_t)(random() % 2 ? 101 : 1100);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(random() % 4 ? 'a' + random() % 26 : random());
    put_bytes(w, text, size);
}

static void put_random_bytes(struct writer *w)
{
    uint8_t bytes[BYTES_MAX];
    size_t size = (size_t)random() % BYTES_MAX;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)random();
    put_bytes(w, bytes, size);
}

static void put_message(struct writer *w, const ProtobufCMessageDescriptor *d, int depth);

static void put_field(struct writer *w, const ProtobufCFieldDescriptor *f, int depth)
{
    static uint8_t inner[DEPTH_MAX + 1][16384];
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        struct writer sub = {inner[depth], inner[depth] + sizeof inner[depth], w->words};
        put_message(&sub, f->descriptor, depth + 1);
        put_varint(w, (uint64_t)f->id << 3 | 2);
        put_bytes(w, inner[depth], (size_t)(sub.at - inner[depth]));
    } else if (f->type == PROTOBUF_C_TYPE_STRING) {
        put_varint(w, (uint64_t)f->id << 3 | 2);
        put_text(w);
    } else if (f->type == PROTOBUF_C_TYPE_BYTES) {
        put_varint(w, (uint64_t)f->id << 3 | 2);
        put_random_bytes(w);
    } else { // our schemas have varints only
        put_varint(w, (uint64_t)f->id << 3);
        put_varint(w, random_number(w->words));
    }
}

static void put_message(struct writer *w, const ProtobufCMessageDescriptor *d, int depth)
{
    for (unsigned i = 0; i < d->n_fields && depth <= DEPTH_MAX; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth == DEPTH_MAX)
            continue;
        long times = f->label == PROTOBUF_C_LABEL_REPEATED ? random() % (REPEATS_MAX + 1) : random() % 4 != 0;
        for (long k = 0; k < times; k++)
            put_field(w, f, depth);
    }
}

size_t random_message(const ProtobufCMessageDescriptor *d, const struct random_words *words, uint8_t *out,
                      size_t room)
{
    struct writer w = {out, out + room, words};
    put_message(&w, d, 0);
    return (size_t)(w.at - out);
}
