// SPDX-License-Identifier: Apache-2.0
// message_test.c: messages of generated code as JSON and back, tried on protobuf's own descriptors, which are
// proto2.
#include "fixture.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TYPE (&google__protobuf__file_descriptor_set__descriptor)

// The whole descriptor set of the tests, there and back, is the same JSON again.
static void test_there_and_back(void **state)
{
    (void)state;
    struct nrpc_status st;
    size_t size;
    char *text, *again;
    unsigned char *set = fixture_read_set(&size);
    ProtobufCMessage *message = protobuf_c_message_unpack(TYPE, NULL, size, set), *back;
    free(set);
    assert_non_null(message);
    assert_int_equal(nrpc_json_from_message(rich, message, NULL, &text, &st), NRPC_OK);
    protobuf_c_message_free_unpacked(message, NULL);
    assert_non_null(strstr(
        text, "\"name\":\"rich.proto\",\"package\":\"rich.v1\",\"dependency\":[\"google/protobuf/any"));
    assert_int_equal(nrpc_json_to_message(rich, TYPE, text, strlen(text), NULL, &back, &st), NRPC_OK);
    assert_int_equal(nrpc_json_from_message(rich, back, NULL, &again, &st), NRPC_OK);
    protobuf_c_message_free_unpacked(back, NULL);
    assert_string_equal(text, again);
    free(text);
    free(again);
}

static void test_refused(void **state)
{
    (void)state;
    struct nrpc_status st;
    ProtobufCMessage *message = NULL;
    struct schema *other;
    char *text;
    static const char lacking[] = "{\"name\":[{}]}"; // NamePart.name_part is required
    const ProtobufCMessageDescriptor *strict = &google__protobuf__uninterpreted_option__descriptor;
    assert_int_equal(nrpc_json_to_message(rich, strict, lacking, strlen(lacking), NULL, &message, &st),
                     NRPC_INVALID_ARGUMENT);
    assert_int_equal(nrpc_json_to_message(rich, TYPE, "[]", 2, NULL, &message, &st), NRPC_INVALID_ARGUMENT);
    assert_null(message);
    ProtobufCBinaryData file = {.len = 9,
                                .data = (uint8_t *)"\x0a\x07o.proto"}; // with nothing in it but its name
    assert_int_equal(schema_create(&file, 1, &other, &st), NRPC_OK);
    Google__Protobuf__FileDescriptorSet empty = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_SET__INIT;
    assert_int_equal(nrpc_json_from_message(other, &empty.base, NULL, &text, &st), NRPC_NOT_FOUND);
    assert_string_equal(st.text, "the schema has no google.protobuf.FileDescriptorSet");
    schema_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
