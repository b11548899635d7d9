// SPDX-License-Identifier: Apache-2.0
// frame_fuzz.c: frames, batches, links, details and traces of any bytes. The first byte of the input chooses:
// f a frame, l two links that talk to each other, d details, t a traceparent.
//
// Besides not crashing: what was read and is written again is read the same, protobuf-c reads the same, and a
// link loses nothing, keeps the order and its window.
#include "base/mem.h"
#include "nrpc/details.h"
#include "nrpc/link.h"
#include "nrpc/trace.h"
#include "nrpc/transport.h"
#include "nrpc/v1/frame.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

_Noreturn static void fail(int line, const char *condition)
{
    fprintf(stderr, "frame_fuzz.c:%d: %s\n", line, condition);
    abort();
}

static bool is_same(struct wire_bytes a, const void *data, size_t size)
{
    return a.size == size && (!size || !memcmp(a.data, data, size));
}

// ---- frames

static size_t count_payloads(const struct frame *f)
{
    struct wire_bytes rest = f->all, payload;
    size_t n = 0;
    while (frame_next_payload(&rest, &payload))
        CHECK(n++ > 0 || payload.data == f->payload.data);
    return n;
}

static void check_against_protobuf(const struct frame *f)
{
    Nrpc__V1__Frame *m = nrpc__v1__frame__unpack(NULL, f->all.size, f->all.data);
    if (!m) // it is stricter with fields of another type
        return;
    CHECK(m->version == f->version && (uint32_t)m->kind == f->kind && m->timeout_us == f->timeout_us);
    CHECK(m->status == f->status && m->credit == f->credit && m->ack == f->ack);
    CHECK(m->n_metadata == f->metadata_count && m->n_trailers == f->trailer_count);
    CHECK(m->n_payload == f->payload_count);
    CHECK(!m->n_payload || is_same(f->payload, m->payload[0].data, m->payload[0].len));
    CHECK(is_same(f->status_details, m->status_details.data, m->status_details.len));
    nrpc__v1__frame__free_unpacked(m, NULL);
}

static void check_metadata(const struct nrpc_metadata *a, const struct nrpc_metadata *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(!strcmp(a[i].key, b[i].key) && a[i].value_bytes == b[i].value_bytes);
        CHECK(!memcmp(a[i].value, b[i].value, a[i].value_bytes + 1)); // with its NUL
    }
}

struct copied {
    struct nrpc_metadata metadata[FRAME_METADATA_MAX], trailers[FRAME_METADATA_MAX];
    char text[FRAME_METADATA_BYTES_MAX + 2 * FRAME_METADATA_MAX];
};

static struct copied *copy_metadata(const struct frame *f)
{
    struct copied *c = mem_alloc(sizeof *c);
    CHECK(FRAME_TEXT_SIZE(f) <= sizeof c->text);
    frame_copy_metadata(f, c->metadata, c->trailers, c->text);
    CHECK(frame_check_metadata(c->metadata, f->metadata_count, NULL) == NRPC_OK);
    CHECK(frame_check_metadata(c->trailers, f->trailer_count, NULL) == NRPC_OK);
    return c;
}

static void check_round_trip(struct frame f)
{
    struct copied *before = copy_metadata(&f);
    f.timeout_us &= INT64_MAX;
    f.metadata = before->metadata;
    f.trailers = before->trailers;
    size_t size = frame_size(&f, f.payload_count, f.payload.size);
    uint8_t *data = mem_alloc(size), *at = frame_write(&f, f.payload_count, f.payload.size, data);
    CHECK(at + (f.payload_count ? f.payload.size : 0) + FRAME_ACK_SIZE == data + size);
    if (f.payload.size)
        memcpy(at, f.payload.data, f.payload.size);
    struct frame g;
    CHECK(frame_parse(data, size, &g, NULL) == NRPC_OK);
    CHECK(g.version == f.version && g.kind == f.kind && g.timeout_us == f.timeout_us);
    CHECK(g.status == f.status && g.credit == f.credit && g.ack == f.ack);
    CHECK(is_same(g.method, f.method.data, f.method.size));
    CHECK(is_same(g.status_text, f.status_text.data, f.status_text.size));
    CHECK(is_same(g.status_details, f.status_details.data, f.status_details.size));
    CHECK(g.payload_count == (f.payload_count ? 1 : 0) && is_same(g.payload, f.payload.data, f.payload.size));
    CHECK(g.metadata_count == f.metadata_count && g.trailer_count == f.trailer_count);
    struct copied *after = copy_metadata(&g);
    check_metadata(before->metadata, after->metadata, f.metadata_count);
    check_metadata(before->trailers, after->trailers, f.trailer_count);
    free(before);
    free(after);
    free(data);
}

// The payloads as frames of a batch.
static void take_batch(const struct frame *f)
{
    struct wire_bytes rest = f->all;
    nng_msg *msg;
    uint32_t id;
    for (; (msg = link_next_of_batch(&rest, &id)); nng_msg_free(msg)) {
        struct frame inner;
        (void)frame_parse(nng_msg_body(msg), nng_msg_len(msg), &inner, NULL);
    }
}

static void fuzz_frame(const uint8_t *data, size_t size)
{
    struct frame f;
    int code = frame_parse(data, size, &f, NULL);
    take_batch(&f); // as far as it was read
    if (code)
        return;
    CHECK(count_payloads(&f) == f.payload_count);
    check_against_protobuf(&f);
    check_round_trip(f);
}

// ---- links: one sends, the other hears; the input says what happens next

enum { MESSAGES_MAX = 4096 };

struct ends {
    struct link sender, receiver;          // sender first: emit finds the rest by it
    uint32_t sent_frames, received_frames; // of calls, numbered by their id
    nng_msg *on_the_way[MESSAGES_MAX], *answers[MESSAGES_MAX];
    uint32_t ids[MESSAGES_MAX];
    size_t first, count, answer_first, answer_count;
};

static void emit_forth(struct link *link, nng_msg *msg, uint32_t id, bool urgent)
{
    (void)urgent;
    struct ends *e = (struct ends *)link;
    CHECK(e->count < MESSAGES_MAX && e->count - e->first < LINK_WINDOW);
    e->ids[e->count] = id;
    e->on_the_way[e->count++] = msg;
}

static void emit_back(struct link *link, nng_msg *msg, uint32_t id, bool urgent)
{
    (void)urgent;
    struct ends *e = (struct ends *)((char *)link - offsetof(struct ends, receiver));
    CHECK(id == LINK_CONNECTION_ID && e->answer_count < MESSAGES_MAX);
    e->answers[e->answer_count++] = msg;
}

static void send_frame(struct ends *e, unsigned low)
{
    size_t payload_bytes = low < 48 ? low * 11 : low * 300;
    ProtobufCBinaryData payload = {payload_bytes, mem_calloc(payload_bytes + 1, 1)};
    Nrpc__V1__Event m = NRPC__V1__EVENT__INIT;
    m.payload = payload;
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_MESSAGE, .credit = ++e->sent_frames};
    link_send(&e->sender, transport_encode(&f, &m.base, nrpc__v1__event__get_packed_size(&m)),
              e->sent_frames);
    free(payload.data);
}

static void hear_inner(struct ends *e, const struct frame *f, uint32_t id)
{
    CHECK(id == ++e->received_frames && f->credit == id && f->payload_count == 1);
}

static void deliver(struct ends *e, unsigned low)
{
    (void)low;
    if (e->first == e->count)
        return;
    nng_msg *msg = e->on_the_way[e->first], *inner;
    uint32_t id = e->ids[e->first++];
    struct frame f, g;
    CHECK(frame_parse(nng_msg_body(msg), nng_msg_len(msg), &f, NULL) == NRPC_OK);
    link_heard(&e->receiver, &f);
    if (f.kind == FRAME_BATCH) {
        struct wire_bytes rest = f.all;
        for (; (inner = link_next_of_batch(&rest, &id)); nng_msg_free(inner)) {
            CHECK(frame_parse(nng_msg_body(inner), nng_msg_len(inner), &g, NULL) == NRPC_OK);
            hear_inner(e, &g, id);
        }
    } else {
        hear_inner(e, &f, id);
    }
    nng_msg_free(msg);
    link_acknowledge(&e->receiver);
}

static void answer(struct ends *e, unsigned low)
{
    (void)low;
    if (e->answer_first == e->answer_count)
        return;
    nng_msg *msg = e->answers[e->answer_first++];
    struct frame f;
    CHECK(frame_parse(nng_msg_body(msg), nng_msg_len(msg), &f, NULL) == NRPC_OK);
    link_heard(&e->sender, &f);
    nng_msg_free(msg);
}

static void say_ack(struct ends *e)
{
    if (e->answer_count < MESSAGES_MAX / 2)
        link_say(&e->receiver, FRAME_ACK);
}

// Acknowledges; or something arrives with an ack of what was never sent.
static void say(struct ends *e, unsigned low)
{
    struct frame f = {.ack = e->sender.sent + 1 + low};
    if (low)
        link_heard(&e->sender, &f);
    else
        say_ack(e);
}

static void fuzz_link(const uint8_t *data, size_t size)
{
    static void (*const steps[])(struct ends * e, unsigned low) = {send_frame, deliver, answer, say};
    struct ends *e = mem_calloc(1, sizeof *e);
    link_init(&e->sender, &(struct link){.emit = emit_forth});
    link_init(&e->receiver, &(struct link){.emit = emit_back});
    for (size_t i = 0; i < size && i < MESSAGES_MAX / 4; i++)
        steps[data[i] >> 6](e, data[i] & 63);
    // With everything delivered and acknowledged, nothing is left behind.
    for (size_t i = 0; i < MESSAGES_MAX && e->received_frames < e->sent_frames; i++) {
        while (e->first < e->count)
            deliver(e, 0);
        say_ack(e);
        while (e->answer_first < e->answer_count)
            answer(e, 0);
    }
    CHECK(e->received_frames == e->sent_frames);
    while (e->answer_first < e->answer_count)
        answer(e, 0);
    link_fini(&e->sender);
    link_fini(&e->receiver);
    free(e);
}

// ---- the rest

static void fuzz_details(const uint8_t *data, size_t size)
{
    struct nrpc_outcome o = {.details = data, .details_bytes = size};
    ProtobufCMessage *m = nrpc_detail(&o, &nrpc__v1__event__descriptor, NULL);
    if (!m)
        return;
    struct arena a;
    struct nrpc_status st = {.code = NRPC_ABORTED, .text = "fuzz"};
    arena_init(&a, 0);
    struct wire_bytes packed = details_pack(&a, &st, (const ProtobufCMessage *const *)&m, 1);
    o = (struct nrpc_outcome){.details = packed.data, .details_bytes = packed.size};
    ProtobufCMessage *again = nrpc_detail(&o, &nrpc__v1__event__descriptor, NULL);
    CHECK(again != NULL);
    CHECK(protobuf_c_message_get_packed_size(again) == protobuf_c_message_get_packed_size(m));
    protobuf_c_message_free_unpacked(again, NULL);
    protobuf_c_message_free_unpacked(m, NULL);
    arena_fini(&a);
}

static void fuzz_trace(const uint8_t *data, size_t size)
{
    char *text = mem_calloc(size + 1, 1), child[TRACE_SIZE];
    memcpy(text, data, size);
    if (trace_child(text, child)) {
        CHECK(trace_is_valid(text) && trace_is_valid(child) && strlen(child) == TRACE_SIZE - 1);
        CHECK(!memcmp(text + 3, child + 3, 32)); // the trace id
    } else {
        CHECK(!trace_is_valid(text));
    }
    free(text);
}

static const struct {
    uint8_t letter;
    void (*run)(const uint8_t *data, size_t size);
} targets[] = {{'f', fuzz_frame}, {'l', fuzz_link}, {'d', fuzz_details}, {'t', fuzz_trace}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; size && i < sizeof targets / sizeof *targets; i++)
        if (data[0] == targets[i].letter)
            targets[i].run(data + 1, size - 1);
    return 0;
}
