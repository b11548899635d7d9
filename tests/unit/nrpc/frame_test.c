// SPDX-License-Identifier: Apache-2.0
// frame_test.c: what frame.c writes is what protobuf-c reads, and the other way round; nothing malformed gets
// through.
#include "nrpc/frame.h"

#include "nrpc/v1/frame.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct wire_bytes bytes(const char *text)
{
    return (struct wire_bytes){(const uint8_t *)text, strlen(text)};
}

static void test_written_is_protobuf(void **state)
{
    (void)state;
    struct nrpc_metadata metadata[] = {{.key = "a-key", .value = "a value"},
                                       {.key = "b-bin", .value = "\0\xff", .value_bytes = 2}};
    struct frame f = {.version = 1,
                      .kind = FRAME_REQUEST,
                      .method = bytes("/a.B/C"),
                      .timeout_us = 1234567890123,
                      .status = 5,
                      .status_text = bytes("not there"),
                      .status_details = bytes("xyz"),
                      .credit = 300,
                      .metadata = metadata,
                      .metadata_count = 2,
                      .trailers = metadata,
                      .trailer_count = 1};
    size_t size = frame_size(&f, true, 200);
    uint8_t *data = calloc(1, size);
    uint8_t *payload = frame_write(&f, true, 200, data);
    assert_ptr_equal(payload, data + size - 200 - FRAME_ACK_SIZE);
    memset(payload, 'p', 200);
    frame_write_ack(data + size - FRAME_ACK_SIZE, 0xfedcba98);
    frame_set_timeout(data, INT64_MAX);
    Nrpc__V1__Frame *m = nrpc__v1__frame__unpack(NULL, size, data);
    assert_non_null(m);
    assert_int_equal(m->version, 1);
    assert_int_equal(m->kind, NRPC__V1__KIND__REQUEST);
    assert_string_equal(m->method, "/a.B/C");
    assert_int_equal(m->timeout_us, INT64_MAX);
    assert_int_equal(m->ack, 0xfedcba98);
    assert_int_equal(m->status, 5);
    assert_string_equal(m->status_text, "not there");
    assert_int_equal(m->status_details.len, 3);
    assert_int_equal(m->credit, 300);
    assert_int_equal(m->n_metadata, 2);
    assert_string_equal(m->metadata[0]->key, "a-key");
    assert_memory_equal(m->metadata[0]->value.data, "a value", 7);
    assert_int_equal(m->metadata[1]->value.len, 2);
    assert_memory_equal(m->metadata[1]->value.data, "\0\xff", 2);
    assert_int_equal(m->n_trailers, 1);
    assert_int_equal(m->n_payload, 1);
    assert_int_equal(m->payload[0].len, 200);
    nrpc__v1__frame__free_unpacked(m, NULL);
    free(data);
}

static void test_parsed(void **state)
{
    (void)state;
    Nrpc__V1__Metadata entry = NRPC__V1__METADATA__INIT, *entries[] = {&entry};
    entry.key = "x";
    entry.value = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    ProtobufCBinaryData payloads[] = {{2, (uint8_t *)"p1"}, {3, (uint8_t *)"p22"}};
    Nrpc__V1__Frame m = NRPC__V1__FRAME__INIT;
    m.version = 7;
    m.kind = NRPC__V1__KIND__MESSAGE;
    m.n_metadata = 1;
    m.metadata = entries;
    m.n_payload = 2;
    m.payload = payloads;
    uint8_t data[200];
    size_t size = nrpc__v1__frame__pack(&m, data);
    struct frame f;
    assert_int_equal(frame_parse(data, size, &f, NULL), NRPC_OK);
    assert_int_equal(f.version, 7);
    assert_int_equal(f.kind, FRAME_MESSAGE);
    assert_int_equal(f.payload_count, 2);
    assert_memory_equal(f.payload.data, "p1", 2);
    struct wire_bytes rest = f.all, payload;
    assert_true(frame_next_payload(&rest, &payload));
    assert_memory_equal(payload.data, "p1", 2);
    assert_true(frame_next_payload(&rest, &payload));
    assert_int_equal(payload.size, 3);
    assert_false(frame_next_payload(&rest, &payload));
    assert_int_equal(f.metadata_count, 1);
    struct nrpc_metadata read[1], none[1];
    char *text = malloc(FRAME_TEXT_SIZE(&f));
    frame_copy_metadata(&f, read, none, text);
    assert_string_equal(read[0].key, "x");
    assert_int_equal(read[0].value_bytes, 3);
    assert_int_equal(strlen(read[0].value), 3);
    free(text);
    for (size_t cut = 1; cut < size;
         cut++) // a cut frame is malformed, or shorter by whole fields: never read beyond its end
        (void)frame_parse(data, cut, &f, NULL);
}

static void test_unknown_fields_pass(void **state)
{
    (void)state;
    // field 20 varint, field 21 fixed64, field 22 bytes, field 23 fixed32, then version 1
    static const uint8_t data[] = {0xa0, 1, 5, 0xa9, 1,   1,    2, 3, 4, 5, 6, 7, 8,
                                   0xb2, 1, 2, 'a',  'b', 0xbd, 1, 1, 2, 3, 4, 8, 1};
    struct frame f;
    assert_int_equal(frame_parse(data, sizeof data, &f, NULL), NRPC_OK);
    assert_int_equal(f.version, 1);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        uint8_t data[16];
        size_t size;
    } bad[] = {
        {{0x08}, 1},                                                                 // no value
        {{0x1a, 5, 'a'}, 3},                                                         // shorter than it says
        {{0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 11},       // longer than anything
        {{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 12}, // a varint without end
        {{0x00, 1}, 2},                                                              // field number 0
        {{0x0b}, 1},                                                                 // a group
        {{0x0f}, 1},                                                                 // wire type 7
        {{0x2a, 2, 0x0a, 9}, 4}, // metadata: key longer than its entry
    };
    struct nrpc_status st;
    struct frame f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *exact = malloc(bad[i].size); // so that a sanitizer sees every byte read beyond
        memcpy(exact, bad[i].data, bad[i].size);
        assert_int_equal(frame_parse(exact, bad[i].size, &f, &st), NRPC_INVALID_ARGUMENT);
        assert_non_null(strstr(st.text, "malformed"));
        free(exact);
    }
}

static void test_random_bytes(void **state)
{
    (void)state;
    srandom(1);
    for (int i = 0; i < 200000; i++) {
        size_t size = (size_t)(random() % 40);
        uint8_t *data = malloc(size + 1);
        for (size_t k = 0; k < size; k++)
            data[k] = (uint8_t)(random() % 4 ? random() % 32 : random());
        struct frame f;
        if (frame_parse(data, size, &f, NULL) == NRPC_OK) {
            struct nrpc_metadata metadata[FRAME_METADATA_MAX], trailers[FRAME_METADATA_MAX];
            char text[1000];
            assert_true(FRAME_TEXT_SIZE(&f) < sizeof text);
            frame_copy_metadata(&f, metadata, trailers, text);
            if (f.payload.size)
                assert_in_range(f.payload.data - data, 0, (long)size - (long)f.payload.size);
        }
        free(data);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct nrpc_metadata many[FRAME_METADATA_MAX + 1],
        big = {.key = "k"}, bad = {.key = "Upper", .value = "x"}, none = {.key = "", .value = "x"},
        binary = {.key = "k", .value = "\xff"};
    for (size_t i = 0; i <= FRAME_METADATA_MAX; i++)
        many[i] = (struct nrpc_metadata){.key = "k", .value = "v"};
    char *value = calloc(1, FRAME_METADATA_BYTES_MAX + 1);
    memset(value, 'v', FRAME_METADATA_BYTES_MAX);
    big.value = value;
    assert_int_equal(frame_check_metadata(many, FRAME_METADATA_MAX, NULL), NRPC_OK);
    assert_int_equal(frame_check_metadata(many, FRAME_METADATA_MAX + 1, NULL), NRPC_INVALID_ARGUMENT);
    assert_int_equal(frame_check_metadata(&big, 1, NULL), NRPC_INVALID_ARGUMENT);
    assert_int_equal(frame_check_metadata(&bad, 1, NULL), NRPC_INVALID_ARGUMENT);
    assert_int_equal(frame_check_metadata(&none, 1, NULL), NRPC_INVALID_ARGUMENT);
    assert_int_equal(frame_check_metadata(&binary, 1, NULL), NRPC_INVALID_ARGUMENT);
    binary.key = "k-bin";
    assert_int_equal(frame_check_metadata(&binary, 1, NULL), NRPC_OK);
    struct frame f = {.version = 1, .metadata = many, .metadata_count = FRAME_METADATA_MAX + 1};
    uint8_t *data = calloc(1, frame_size(&f, false, 0));
    frame_write(&f, false, 0, data);
    struct frame parsed;
    assert_int_equal(frame_parse(data, frame_size(&f, false, 0), &parsed, NULL), NRPC_INVALID_ARGUMENT);
    free(data);
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_is_protobuf), cmocka_unit_test(test_parsed),
        cmocka_unit_test(test_unknown_fields_pass), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_random_bytes),        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
