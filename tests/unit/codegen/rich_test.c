// SPDX-License-Identifier: Apache-2.0
// rich_test.c: everything that proto3 has goes through bytes and comes back.
#include "rich/v1/rich.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// Packs and unpacks. The copy must be freed.
static void *copy_of(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    protobuf_c_message_pack(message, bytes);
    ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
    assert_non_null(copy);
    free(bytes);
    return copy;
}

static void check_bytes(const ProtobufCMessage *message, const char *expected, size_t count)
{
    uint8_t bytes[64];
    assert_int_equal(protobuf_c_message_get_packed_size(message), count);
    protobuf_c_message_pack(message, bytes);
    assert_memory_equal(bytes, expected, count);
}

static Rich__V1__Scalars extremes(void)
{
    Rich__V1__Scalars s = RICH__V1__SCALARS__INIT;
    s.a_double = 1e300;
    s.a_float = -0.5F;
    s.an_int32 = INT32_MIN;
    s.an_int64 = INT64_MIN;
    s.a_uint32 = UINT32_MAX;
    s.a_uint64 = UINT64_MAX;
    s.a_sint32 = INT32_MIN;
    s.a_sint64 = INT64_MIN;
    s.a_fixed32 = UINT32_MAX;
    s.a_fixed64 = UINT64_MAX;
    s.a_sfixed32 = INT32_MIN;
    s.a_sfixed64 = INT64_MIN;
    s.a_bool = true;
    s.a_string = (char *)"\xc3\xa4";
    s.some_bytes = (ProtobufCBinaryData){3, (uint8_t *)"\0\1\2"};
    s.color = RICH__V1__COLOR__NEGATIVE;
    return s;
}

static void check_extremes(const Rich__V1__Scalars *s)
{
    const Rich__V1__Scalars e = extremes();
    assert_true(s->a_double == e.a_double && s->a_float == e.a_float);
    assert_int_equal(s->an_int32, e.an_int32);
    assert_true(s->an_int64 == e.an_int64);
    assert_int_equal(s->a_uint32, e.a_uint32);
    assert_true(s->a_uint64 == e.a_uint64);
    assert_int_equal(s->a_sint32, e.a_sint32);
    assert_true(s->a_sint64 == e.a_sint64);
    assert_int_equal(s->a_fixed32, e.a_fixed32);
    assert_true(s->a_fixed64 == e.a_fixed64);
    assert_int_equal(s->a_sfixed32, e.a_sfixed32);
    assert_true(s->a_sfixed64 == e.a_sfixed64);
    assert_true(s->a_bool);
    assert_string_equal(s->a_string, e.a_string);
    assert_int_equal(s->some_bytes.len, e.some_bytes.len);
    assert_memory_equal(s->some_bytes.data, e.some_bytes.data, e.some_bytes.len);
    assert_int_equal(s->color, e.color);
}

static void test_scalars(void **state)
{
    (void)state;
    Rich__V1__Scalars s = extremes();
    Rich__V1__Scalars *copy = copy_of(&s.base);
    check_extremes(copy);
    rich__v1__scalars__free_unpacked(copy, NULL);
    rich__v1__scalars__init(&s);
    check_bytes(&s.base, "", 0); // what has its default value is not sent
}

static void test_repeated(void **state)
{
    (void)state;
    double doubles[] = {0, -1.5};
    int64_t sint64s[] = {-1, INT64_MAX};
    protobuf_c_boolean bools[] = {true, false, true};
    char *strings[] = {(char *)"", (char *)"b"};
    ProtobufCBinaryData byteses[] = {{1, (uint8_t *)"\0"}, {0, NULL}};
    Rich__V1__Color colors[] = {RICH__V1__COLOR__CRIMSON, RICH__V1__COLOR__NEGATIVE};
    Rich__V1__Scalars s = extremes(), *messages[] = {&s, &s};
    int32_t unpacked[] = {0, -2};
    Rich__V1__Repeated r = RICH__V1__REPEATED__INIT;
    r.n_doubles = COUNT(doubles), r.doubles = doubles;
    r.n_sint64s = COUNT(sint64s), r.sint64s = sint64s;
    r.n_bools = COUNT(bools), r.bools = bools;
    r.n_strings = COUNT(strings), r.strings = strings;
    r.n_byteses = COUNT(byteses), r.byteses = byteses;
    r.n_colors = COUNT(colors), r.colors = colors;
    r.n_messages = COUNT(messages), r.messages = messages;
    r.n_unpacked = COUNT(unpacked), r.unpacked = unpacked;
    Rich__V1__Repeated *copy = copy_of(&r.base);
    assert_int_equal(copy->n_doubles, 2);
    assert_true(copy->doubles[0] == 0 && copy->doubles[1] == -1.5);
    assert_int_equal(copy->n_sint64s, 2);
    assert_true(copy->sint64s[0] == -1 && copy->sint64s[1] == INT64_MAX);
    assert_int_equal(copy->n_bools, 3);
    assert_true(copy->bools[0] && !copy->bools[1] && copy->bools[2]);
    assert_int_equal(copy->n_strings, 2);
    assert_string_equal(copy->strings[0], "");
    assert_string_equal(copy->strings[1], "b");
    assert_int_equal(copy->n_byteses, 2);
    assert_int_equal(copy->byteses[0].len, 1);
    assert_int_equal(copy->byteses[1].len, 0);
    assert_int_equal(copy->n_colors, 2);
    assert_int_equal(copy->colors[0], RICH__V1__COLOR__RED);
    assert_int_equal(copy->colors[1], RICH__V1__COLOR__NEGATIVE);
    assert_int_equal(copy->n_messages, 2);
    check_extremes(copy->messages[1]);
    assert_int_equal(copy->n_unpacked, 2);
    assert_int_equal(copy->unpacked[1], -2);
    rich__v1__repeated__free_unpacked(copy, NULL);
}

static void test_maps(void **state)
{
    (void)state;
    Rich__V1__Scalars s = extremes();
    Rich__V1__Maps__CountsEntry one = RICH__V1__MAPS__COUNTS_ENTRY__INIT, two = one, *counts[] = {&one, &two};
    Rich__V1__Maps__MessagesEntry message = RICH__V1__MAPS__MESSAGES_ENTRY__INIT, *messages[] = {&message};
    Rich__V1__Maps__ColorsEntry color = RICH__V1__MAPS__COLORS_ENTRY__INIT, *colors[] = {&color};
    one.key = (char *)"one", one.value = 1;
    two.key = (char *)"", two.value = -2;
    message.key = INT64_MIN, message.value = &s;
    color.key = true, color.value = RICH__V1__COLOR__RED;
    Rich__V1__Maps m = RICH__V1__MAPS__INIT;
    m.n_counts = COUNT(counts), m.counts = counts;
    check_bytes(&m.base, "\x0a\x07\x0a\x03one\x10\x01\x0a\x0b\x10\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                22);
    m.n_messages = COUNT(messages), m.messages = messages;
    m.n_colors = COUNT(colors), m.colors = colors;
    Rich__V1__Maps *copy = copy_of(&m.base);
    assert_int_equal(copy->n_counts, 2);
    assert_string_equal(copy->counts[0]->key, "one");
    assert_int_equal(copy->counts[0]->value, 1);
    assert_string_equal(copy->counts[1]->key, "");
    assert_int_equal(copy->counts[1]->value, -2);
    assert_int_equal(copy->n_messages, 1);
    assert_true(copy->messages[0]->key == INT64_MIN);
    check_extremes(copy->messages[0]->value);
    assert_int_equal(copy->n_colors, 1);
    assert_true(copy->colors[0]->key);
    assert_int_equal(copy->colors[0]->value, RICH__V1__COLOR__RED);
    rich__v1__maps__free_unpacked(copy, NULL);
}

static void test_oneof(void **state)
{
    (void)state;
    Rich__V1__Choice__Inner inner = RICH__V1__CHOICE__INNER__INIT;
    inner.kind = RICH__V1__CHOICE__INNER__KIND__KNOWN;
    Rich__V1__Choice c = RICH__V1__CHOICE__INIT;
    assert_int_equal(c.choice_case, RICH__V1__CHOICE__CHOICE__NOT_SET);
    c.choice_case = RICH__V1__CHOICE__CHOICE_INNER;
    c.inner = &inner;
    check_bytes(&c.base, "\x1a\x02\x08\x01", 4);
    Rich__V1__Choice *copy = copy_of(&c.base);
    assert_int_equal(copy->choice_case, RICH__V1__CHOICE__CHOICE_INNER);
    assert_int_equal(copy->inner->kind, RICH__V1__CHOICE__INNER__KIND__KNOWN);
    rich__v1__choice__free_unpacked(copy, NULL);
}

static void test_optional(void **state)
{
    (void)state;
    Rich__V1__Choice__Inner inner = RICH__V1__CHOICE__INNER__INIT;
    Rich__V1__Choice c = RICH__V1__CHOICE__INIT;
    check_bytes(&c.base, "", 0);
    c.maybe = 0;
    c.has_maybe_case = RICH__V1__CHOICE__HAS_MAYBE_MAYBE;
    c.maybetext = (char *)"";
    c.has_maybe_text_case = RICH__V1__CHOICE__HAS_MAYBE_TEXT_MAYBE_TEXT;
    c.maybe_inner = &inner;
    c.has_maybe_inner_case = RICH__V1__CHOICE__HAS_MAYBE_INNER_MAYBE_INNER;
    check_bytes(&c.base, "\x28\x00\x32\x00\x3a\x00", 6); // what is set is sent, default value or not
    Rich__V1__Choice *copy = copy_of(&c.base);
    assert_true(copy->has_maybe_case && copy->has_maybe_text_case && copy->has_maybe_inner_case);
    assert_int_equal(copy->maybe, 0);
    assert_string_equal(copy->maybetext, "");
    rich__v1__choice__free_unpacked(copy, NULL);
}

static void test_well_known_types(void **state)
{
    (void)state;
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Duration took = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    Google__Protobuf__Int64Value wrapped = GOOGLE__PROTOBUF__INT64_VALUE__INIT;
    Google__Protobuf__StringValue text = GOOGLE__PROTOBUF__STRING_VALUE__INIT;
    Shop__Common__Money price = SHOP__COMMON__MONEY__INIT;
    char *paths[] = {(char *)"a.b"};
    at.seconds = -1, at.nanos = 999999999;
    took.seconds = 5;
    any.type_url = (char *)"type.googleapis.com/x.Y";
    any.value = (ProtobufCBinaryData){1, (uint8_t *)"\7"};
    mask.n_paths = 1, mask.paths = paths;
    wrapped.value = INT64_MAX;
    price.cents = 100;
    Rich__V1__WellKnown w = RICH__V1__WELL_KNOWN__INIT;
    w.at = &at, w.took = &took, w.any = &any, w.mask = &mask;
    w.number = &wrapped, w.text = &text, w.price = &price;
    Rich__V1__WellKnown *copy = copy_of(&w.base);
    assert_int_equal(copy->at->seconds, -1);
    assert_int_equal(copy->at->nanos, 999999999);
    assert_int_equal(copy->took->seconds, 5);
    assert_string_equal(copy->any->type_url, "type.googleapis.com/x.Y");
    assert_int_equal(copy->any->value.len, 1);
    assert_string_equal(copy->mask->paths[0], "a.b");
    assert_true(copy->number->value == INT64_MAX);
    assert_string_equal(copy->text->value, "");
    assert_int_equal(copy->price->cents, 100);
    rich__v1__well_known__free_unpacked(copy, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),  cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_maps),     cmocka_unit_test(test_oneof),
        cmocka_unit_test(test_optional), cmocka_unit_test(test_well_known_types),
    };
    return cmocka_run_group_tests_name("codegen rich", tests, NULL, NULL);
}
