// SPDX-License-Identifier: Apache-2.0
// print_test.c: bytes into JSON: fields that come in pieces, options, what is broken.
#include "fixture.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCALARS "rich.v1.Scalars"
#define LISTS "rich.v1.Lists"
#define MAPS "rich.v1.Maps"
#define CHOICE "rich.v1.Choice"
#define WELL "rich.v1.WellKnown"
#define TREE "rich.v1.Tree"
#define OLD "rich.legacy.Old"

static void check(const char *type, const char *hex, const struct nrpc_json_options *options,
                  const char *json)
{
    char *text = fixture_print(type, hex, options);
    assert_string_equal(text, json);
    free(text);
}

static void test_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *type, *hex, *json;
    } rows[] = {
        {SCALARS, "", "{}"},
        {SCALARS, "18 01 18 02", "{\"anInt32\":2}"},                               // the last counts
        {SCALARS, "18 01 18 00", "{}"},                                            // even if it is zero
        {SCALARS, "20 01 18 01", "{\"anInt32\":1,\"anInt64\":\"1\"}"},             // any order
        {SCALARS, "18 ff ff ff ff 0f", "{\"anInt32\":-1}"},                        // too short for negative
        {SCALARS, "18 80 80 80 80 10", "{}"},                                      // cut to 32 bits
        {SCALARS, "68 02", "{\"aBool\":true}"},                                    // anything but 0
        {SCALARS, "1d 01 00 00 00 18 05", "{\"anInt32\":5}"},                      // of another type
        {SCALARS, "1a 01 05", "{}"},                                               // not a list
        {SCALARS, "9a 06 03 61 62 63 18 01", "{\"anInt32\":1}"},                   // unknown
        {SCALARS, "9b 06 08 01 13 14 9c 06 18 01", "{\"anInt32\":1}"},             // an unknown group
        {LISTS, "1a 02 01 02 18 03 1a 00 1a 01 04", "{\"int32s\":[1,2,3,4]}"},     // packed and not
        {LISTS, "5a 02 01 02 58 03", "{\"unpacked\":[\"1\",\"2\",\"3\"]}"},        // the other way round
        {LISTS, "18 01 3a 01 61 18 02", "{\"int32s\":[1,2],\"strings\":[\"a\"]}"}, // in between others
        {LISTS, "1a 00", "{}"},                                                    // an empty list
        {LISTS, "62 02 00 05", "{\"nulls\":[null,null]}"},                         //
        {TREE, "12 03 0a 01 61 12 02 1a 00", "{\"left\":{\"label\":\"a\",\"right\":{}}}"}, // merged
        {TREE, "12 03 0a 01 61 12 03 0a 01 62", "{\"left\":{\"label\":\"b\"}}"},           //
        {TREE, "22 03 0a 01 61 22 00", "{\"more\":[{\"label\":\"a\"},{}]}"},               // not merged
        {CHOICE, "0a 01 61 10 05", "{\"number\":\"5\"}"},                                  // the last member
        {CHOICE, "10 05 0a 01 61 3a 01 62 50 01", "{\"name\":\"a\",\"behind\":\"b\",\"yes\":true}"},
        {CHOICE, "1a 02 18 01 10 05 1a 02 20 01", "{\"scalars\":{\"anInt64\":\"1\"}}"}, // begun anew
        {CHOICE, "1a 02 18 01 1a 02 20 01", "{\"scalars\":{\"anInt32\":1,\"anInt64\":\"1\"}}"},
        {MAPS, "0a 06 0a 01 61 12 01 62", "{\"byString\":{\"a\":\"b\"}}"},
        {MAPS, "0a 06 12 01 62 0a 01 61", "{\"byString\":{\"a\":\"b\"}}"}, // the value first
        {MAPS, "0a 00", "{\"byString\":{\"\":\"\"}}"},                     // neither
        {MAPS, "2a 00", "{\"byBool\":{\"false\":{}}}"},                    //
        {MAPS, "12 04 08 02 10 01 12 04 08 01 10 07 12 04 08 02 10 07",
         "{\"byInt32\":{\"1\":\"COLOR_BLUE\",\"2\":\"COLOR_BLUE\"}}"}, // the last of a key
        {MAPS, "2a 06 12 04 18 01 20 02", "{\"byBool\":{\"false\":{\"anInt32\":1,\"anInt64\":\"2\"}}}"},
        {MAPS, "2a 08 12 02 18 01 12 02 20 02", "{\"byBool\":{\"false\":{\"anInt32\":1,\"anInt64\":\"2\"}}}"},
        {WELL, "0a 00", "{\"time\":\"1970-01-01T00:00:00Z\"}"},
        {WELL, "0a 02 08 01 0a 02 10 05", "{\"time\":\"1970-01-01T00:00:01.000000005Z\"}"},
        {WELL, "a0 01 00", "{}"},
        {WELL, "a0 01 01", "{}"},
        {WELL, "3a 00", "{\"value\":null}"},
        {WELL, "3a 04 20 01 08 00", "{\"value\":null}"},
        {WELL, "42 00 32 00 4a 00", "{\"structure\":{},\"list\":[],\"wrappedDouble\":0}"},
        {OLD, "08 01 10 00 a0 06 05", "{\"needed\":1,\"count\":0}"}, // an extension is unknown
        {OLD, "30 05", "{\"size\":5}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(rows[i].type, rows[i].hex, NULL, rows[i].json);
}

static void test_broken(void **state)
{
    (void)state;
    static const struct {
        const char *type, *hex, *problem;
    } rows[] = {
        {SCALARS, "18", "the bytes are no rich.v1.Scalars"},
        {SCALARS, "18 ff", "the bytes are no rich.v1.Scalars"},
        {SCALARS, "18 ff ff ff ff ff ff ff ff ff ff 01", "the bytes are no"}, // a varint of 11 bytes
        {SCALARS, "72 05 61", "the bytes are no"},
        {SCALARS, "72 ff ff ff ff ff ff ff ff ff 01", "the bytes are no"},
        {SCALARS, "00 00", "the bytes are no"}, // field 0
        {SCALARS, "1e 00", "the bytes are no"}, // wire type 6
        {SCALARS, "9c 06", "the bytes are no"}, // the end of no group
        {SCALARS, "9b 06 08 01", "the bytes are no"},
        {SCALARS, "9b 06 a4 06", "the bytes are no"}, // the end of another
        {SCALARS, "15 00 00 c0", "the bytes are no"},
        {TREE, "12 02 0a 05", "left: the bytes are no rich.v1.Tree"},
        {TREE, "22 00 22 03 0a 01 ff", "more[1].label: a string is not UTF-8"},
        {LISTS, "1a 02 01 ff", "int32s: the packed list is broken"},
        {LISTS, "0a 09 00 00 00 00 00 00 00 00 00", "doubles: the packed list is broken"},
        {MAPS, "0a 02 0a 05", "byString: an entry of the map is broken"},
        {MAPS, "0a 06 0a 01 ff 12 01 62", "byString: a key is not UTF-8"},
        {MAPS, "0a 06 0a 01 61 12 01 ff", "byString[\"a\"]: a string is not UTF-8"},
        {WELL, "0a 06 10 80 94 eb dc 03", "time: the google.protobuf.Timestamp is out of range"},
        {WELL, "12 0d 08 01 10 ff ff ff ff ff ff ff ff ff 01",
         "duration: the google.protobuf.Duration is out of"},
        {WELL, "1a 05 0a 03 61 5f 33", "mask: a path has no form in JSON"},
        {WELL, "1a 04 0a 02 61 42", "mask: a path has no form in JSON"},
        {WELL, "3a 09 11 00 00 00 00 00 00 f0 7f", "value: a google.protobuf.Value cannot be infinite"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fixture_refuse_wire(rows[i].type, rows[i].hex, NRPC_INVALID_ARGUMENT, rows[i].problem);
    fixture_refuse_wire(WELL, "2a 03 12 01 00", NRPC_NOT_FOUND, "any: the schema has no type \"\"");
    fixture_refuse_wire(WELL, "2a 04 0a 02 2f 61", NRPC_NOT_FOUND, "any: the schema has no type \"/a\"");
    fixture_refuse_wire(OLD, "3b 08 01 3c", NRPC_UNIMPLEMENTED, "pair: groups have no JSON");
}

static void test_options(void **state)
{
    (void)state;
    struct nrpc_json_options defaults = {.emit_defaults = true}, names = {.proto_names = true};
    struct nrpc_json_options pretty = {.pretty = true};
    check("rich.v1.Names", "08 01", &names, "{\"under_score\":1}");
    check("rich.v1.Optionals", "", &defaults, "{}");
    check(CHOICE, "", &defaults, "{\"behind\":\"\"}");
    check(OLD, "", &defaults, "{\"unpacked\":[],\"packed\":[]}");
    check(TREE, "12 00", &defaults, "{\"label\":\"\",\"left\":{\"label\":\"\",\"more\":[]},\"more\":[]}");
    check(SCALARS, "18 05", &defaults,
          "{\"aDouble\":0,\"aFloat\":0,\"anInt32\":5,\"anInt64\":\"0\",\"aUint32\":0,\"aUint64\":\"0\","
          "\"aSint32\":0,\"aSint64\":\"0\",\"aFixed32\":0,\"aFixed64\":\"0\",\"aSfixed32\":0,"
          "\"aSfixed64\":\"0\",\"aBool\":false,\"aString\":\"\",\"someBytes\":\"\","
          "\"color\":\"COLOR_UNSPECIFIED\"}");
    check(MAPS, "", &defaults,
          "{\"byString\":{},\"byInt32\":{},\"bySint64\":{},\"byUint64\":{},\"byBool\":{},\"byFixed32\":{},"
          "\"values\":{}}");
    check(WELL, "", &defaults, "{\"times\":[],\"anys\":[],\"nullValue\":null,\"several\":[]}");
    check(TREE, "", &pretty, "{}");
    check(TREE, "0a 01 61 22 00 22 03 0a 01 62", &pretty,
          "{\n  \"label\": \"a\",\n  \"more\": [\n    {},\n    {\n      \"label\": \"b\"\n    }\n  ]\n}");
    check("google.protobuf.ListValue", "", &pretty, "[]");
}

// Trees of one another's left, `depth` of them.
static size_t nest(uint8_t *out, int depth)
{
    uint8_t bytes[512];
    size_t size = 0;
    for (int i = 1; i < depth; i++) { // outwards: tag and length go in front
        size_t prefix = size < 128 ? 2 : 3;
        memmove(bytes + prefix, bytes, size);
        bytes[0] = 0x12;
        bytes[1] = (uint8_t)(size < 128 ? size : size | 0x80);
        if (prefix == 3)
            bytes[2] = (uint8_t)(size >> 7);
        size += prefix;
    }
    memcpy(out, bytes, size);
    return size;
}

static void test_depth(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint8_t wire[512];
    char *text;
    const struct schema_message *m = fixture_type(TREE);
    assert_int_equal(nrpc_json_from_wire(m, wire, nest(wire, 100), NULL, &text, &st), NRPC_OK);
    free(text);
    assert_int_equal(nrpc_json_from_wire(m, wire, nest(wire, 101), NULL, &text, &st),
                     NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, ".left.left: messages nest deeper than 100"));
}

static void test_limits(void **state)
{
    (void)state;
    struct nrpc_status st;
    char *text;
    uint8_t wire[64];
    const struct schema_message *m = fixture_type(SCALARS);
    size_t size = fixture_bytes("72 0a 30 31 32 33 34 35 36 37 38 39", wire);
    size_t length = strlen("{\"aString\":\"0123456789\"}");
    struct nrpc_json_options o = {.wire_bytes_max = size, .text_bytes_max = length};
    assert_int_equal(nrpc_json_from_wire(m, wire, size, &o, &text, &st), NRPC_OK);
    assert_int_equal(strlen(text), length);
    free(text);
    o.text_bytes_max--;
    assert_int_equal(nrpc_json_from_wire(m, wire, size, &o, &text, &st), NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, "the JSON is larger than"));
    o = (struct nrpc_json_options){.wire_bytes_max = size - 1};
    assert_int_equal(nrpc_json_from_wire(m, wire, size, &o, &text, &st), NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, "the message is larger than"));
}

// A message can be written so that it is merged on every level; what that copies is bounded.
static void test_merging_is_bounded(void **state)
{
    (void)state;
    enum { LEAF = 1 << 20, LEVELS = 90 };
    struct nrpc_status st;
    char *text = NULL;
    uint8_t *wire = mem_calloc(1, LEAF + LEVELS * 16);
    size_t size = LEAF;
    wire[0] = 0x0a;                                 // a label
    wire[1] = 0xfc, wire[2] = 0xff, wire[3] = 0x3f; // of all the rest
    for (int i = 0; i < LEVELS; i++) {              // and an empty left behind each left
        memmove(wire + 5, wire, size);
        wire[0] = 0x12;
        for (int k = 0; k < 4; k++)
            wire[1 + k] = (uint8_t)((size >> (7 * k) & 0x7f) | (k < 3 ? 0x80 : 0));
        size += 5;
        wire[size++] = 0x12;
        wire[size++] = 0;
    }
    int code = nrpc_json_from_wire(fixture_type(TREE), wire, size, NULL, &text, &st);
    assert_int_equal(code, NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, "takes too much memory"));
    free(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),  cmocka_unit_test(test_broken),
        cmocka_unit_test(test_options), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_merging_is_bounded),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
