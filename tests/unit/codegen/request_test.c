// SPDX-License-Identifier: Apache-2.0
// request_test.c: request_read takes what protoc sends and refuses everything else without a crash.
#include "request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES_MAX = 1 << 20 };

struct bytes {
    size_t count;
    uint8_t at[BYTES_MAX]; // filled from the end, so that a message can be put around what is there
};

static const uint8_t *begin(const struct bytes *b)
{
    return b->at + BYTES_MAX - b->count;
}

static void prepend(struct bytes *b, const void *data, size_t count)
{
    b->count += count;
    memcpy(b->at + BYTES_MAX - b->count, data, count);
}

// Makes the bytes so far the content of a length-prefixed field.
static void wrap(struct bytes *b, unsigned field)
{
    uint8_t head[12];
    size_t used = 0;
    head[used++] = (uint8_t)(field << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    size_t rest = b->count;
    for (; rest >= 0x80; rest >>= 7)
        head[used++] = (uint8_t)(rest | 0x80);
    head[used++] = (uint8_t)rest;
    prepend(b, head, used);
}

// A request for a.proto, whose one message nests this deep.
static void make_request(struct bytes *b, unsigned depth)
{
    enum { FILE_TO_GENERATE = 1, PROTO_FILE = 15, MESSAGE_TYPE = 4, NESTED_TYPE = 3 };
    static const char name[] = "\x0a\x01M", file[] = "\x0a\x07"
                                                     "a.proto";
    b->count = 0;
    prepend(b, name, strlen(name));
    for (unsigned i = 1; i < depth; i++) {
        wrap(b, NESTED_TYPE);
        prepend(b, name, strlen(name));
    }
    wrap(b, MESSAGE_TYPE);
    prepend(b, file, strlen(file));
    wrap(b, PROTO_FILE);
    prepend(b, file, strlen(file)); // the same field number: file_to_generate
}

static bool is_accepted(const uint8_t *data, size_t count)
{
    struct arena a;
    arena_init(&a, 0);
    FILE *in = tmpfile();
    assert_non_null(in);
    assert_int_equal(fwrite(data, 1, count, in), count);
    rewind(in);
    const char *problem = NULL;
    const code_request *request = request_read(in, &a, &problem);
    if (!request)
        assert_non_null(problem);
    fclose(in);
    arena_fini(&a);
    return request != NULL;
}

static struct bytes request;

static void test_a_request_is_accepted(void **state)
{
    (void)state;
    make_request(&request, 32);
    assert_true(is_accepted(begin(&request), request.count));
}

static void test_a_request_that_nests_too_deep_is_refused(void **state)
{
    (void)state;
    make_request(&request, 50000);
    assert_false(is_accepted(begin(&request), request.count));
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    make_request(&request, 3);
    for (size_t count = 0; count < request.count; count++)
        assert_false(is_accepted(begin(&request), count));
}

static void test_every_changed_byte_is_survived(void **state)
{
    (void)state;
    make_request(&request, 3);
    uint8_t copy[256];
    assert_true(request.count <= sizeof copy);
    for (size_t i = 0; i < request.count; i++)
        for (int value = 0; value < 256; value++) {
            memcpy(copy, begin(&request), request.count);
            copy[i] = (uint8_t)value;
            is_accepted(copy, request.count);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_accepted),
        cmocka_unit_test(test_a_request_that_nests_too_deep_is_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_changed_byte_is_survived),
    };
    return cmocka_run_group_tests_name("codegen request", tests, NULL, NULL);
}
