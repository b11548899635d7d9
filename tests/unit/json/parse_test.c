// SPDX-License-Identifier: Apache-2.0
// parse_test.c: JSON into bytes: what is taken, seen by what it comes back as, and what is refused, with
// which words.
#include "fixture.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *type, *json, *back; // back NULL: the same
};

static void check(const struct row *rows, size_t count, const struct nrpc_json_options *options)
{
    for (size_t i = 0; i < count; i++) {
        char *text = fixture_convert(rows[i].type, rows[i].json, options);
        assert_string_equal(text, rows[i].back ? rows[i].back : rows[i].json);
        free(text);
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows), NULL)

#define SCALARS "rich.v1.Scalars"
#define LISTS "rich.v1.Lists"
#define MAPS "rich.v1.Maps"
#define CHOICE "rich.v1.Choice"
#define WELL "rich.v1.WellKnown"

static void test_integers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {SCALARS, "{}", NULL},
        {SCALARS, "{\"anInt32\":-2147483648}", NULL},
        {SCALARS, "{\"anInt32\":2147483647}", NULL},
        {SCALARS, "{\"anInt32\":1.0}", "{\"anInt32\":1}"},
        {SCALARS, "{\"anInt32\":1e5}", "{\"anInt32\":100000}"},
        {SCALARS, "{\"anInt32\":\"12\"}", "{\"anInt32\":12}"},
        {SCALARS, "{\"anInt32\":\"1.2e1\"}", "{\"anInt32\":12}"},
        {SCALARS, "{\"anInt64\":\"-9223372036854775808\"}", NULL},
        {SCALARS, "{\"anInt64\":9223372036854775807}", "{\"anInt64\":\"9223372036854775807\"}"},
        {SCALARS, "{\"aUint32\":4294967295}", NULL},
        {SCALARS, "{\"aUint64\":\"18446744073709551615\"}", NULL},
        {SCALARS, "{\"aUint64\":9007199254740993}", "{\"aUint64\":\"9007199254740993\"}"},
        {SCALARS, "{\"aSint32\":-2147483648,\"aSint64\":\"-9223372036854775808\"}", NULL},
        {SCALARS, "{\"aSint32\":2147483647,\"aSint64\":\"9223372036854775807\"}", NULL},
        {SCALARS, "{\"aFixed32\":4294967295,\"aFixed64\":\"18446744073709551615\"}", NULL},
        {SCALARS, "{\"aSfixed32\":-2147483648,\"aSfixed64\":\"-9223372036854775808\"}", NULL},
        {SCALARS, "{\"anInt32\":-0,\"aUint32\":-0.0}", "{}"},
    };
    CHECK(rows);
}

static void test_reals(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {SCALARS, "{\"aDouble\":0.1}", NULL},
        {SCALARS, "{\"aDouble\":1.7976931348623157e+308}", NULL},
        {SCALARS, "{\"aDouble\":5e-324}", "{\"aDouble\":4.94065645841247e-324}"},
        {SCALARS, "{\"aDouble\":1}", NULL},
        {SCALARS, "{\"aDouble\":-0.0}", NULL},
        {SCALARS, "{\"aDouble\":\"-0\"}", "{\"aDouble\":-0.0}"},
        {SCALARS, "{\"aDouble\":\"1.5\",\"aFloat\":\"12345678901234567890\"}",
         "{\"aDouble\":1.5,\"aFloat\":1.2345679e+19}"},
        {SCALARS, "{\"aDouble\":\"NaN\",\"aFloat\":\"-Infinity\"}", NULL},
        {SCALARS, "{\"aDouble\":\"Infinity\",\"aFloat\":\"NaN\"}", NULL},
        {SCALARS, "{\"aFloat\":0.1}", NULL},
        {SCALARS, "{\"aFloat\":3.4028235e+38}", NULL},
        {SCALARS, "{\"aFloat\":16777217}", "{\"aFloat\":16777216}"},
    };
    CHECK(rows);
}

static void test_strings_and_bytes(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {SCALARS,
         "{\"aString\":\"K\xc3\xbc\xc3\x9f"
         "e \xf0\x9f\xa6\x8a\"}",
         NULL},
        {SCALARS, "{\"aString\":\"\\ud83e\\udd8a\"}", "{\"aString\":\"\xf0\x9f\xa6\x8a\"}"},
        {SCALARS, "{\"aString\":\"a\\u0000b\\n\\\"\\\\\"}", NULL},
        {SCALARS, "{\"aString\":\"\",\"someBytes\":\"\"}", "{}"},
        {SCALARS, "{\"someBytes\":\"AAEC/+8=\"}", NULL},
        {SCALARS, "{\"someBytes\":\"_-8\"}", "{\"someBytes\":\"/+8=\"}"},
        {SCALARS, "{\"someBytes\":\"AA\"}", "{\"someBytes\":\"AA==\"}"},
        {SCALARS, "{\"someBytes\":\"AAAA\"}", NULL},
    };
    CHECK(rows);
}

static void test_names_and_enums(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {SCALARS, "{\"an_int32\":1}", "{\"anInt32\":1}"},
        {"rich.v1.Names", "{\"underScore\":1,\"alreadyCamel\":2,\"@given\":3,\"with3Digits\":4}", NULL},
        {"rich.v1.Names", "{\"Leading\":5,\"trailing\":6}", NULL},
        {"rich.v1.Names", "{\"given\":3,\"_leading\":5,\"trailing_\":6}",
         "{\"@given\":3,\"Leading\":5,\"trailing\":6}"},
        {SCALARS, "{\"color\":\"COLOR_BLUE\"}", NULL},
        {SCALARS, "{\"color\":\"COLOR_CRIMSON\"}", "{\"color\":\"COLOR_RED\"}"},
        {SCALARS, "{\"color\":-3}", "{\"color\":\"COLOR_NEGATIVE\"}"},
        {SCALARS, "{\"color\":99}", NULL},
        {SCALARS, "{\"color\":0,\"aBool\":false}", "{}"},
        {"rich.v1.Rich", "{\"inner\":[{\"level\":\"HIGH\"},{}]}", NULL},
    };
    CHECK(rows);
}

static void test_presence(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"rich.v1.Optionals", "{\"aDouble\":0,\"anInt64\":\"0\",\"aBool\":false,\"aString\":\"\"}", NULL},
        {"rich.v1.Optionals", "{\"someBytes\":\"\",\"color\":\"COLOR_UNSPECIFIED\"}", NULL},
        {"rich.v1.Optionals", "{\"aDouble\":null,\"anInt64\":null,\"color\":null}", "{}"},
        {"rich.legacy.Old", "{\"needed\":0,\"count\":0,\"text\":\"\",\"unpacked\":[0,1],\"packed\":[0,1]}",
         NULL},
        {CHOICE, "{\"number\":\"0\"}", NULL},
        {CHOICE, "{\"name\":\"\",\"yes\":false}", NULL},
        {CHOICE, "{\"name\":null,\"number\":\"1\",\"scalars\":null}", "{\"number\":\"1\"}"},
        {CHOICE, "{\"nothing\":null}", NULL},
        {CHOICE, "{\"nothing\":\"NULL_VALUE\"}", "{\"nothing\":null}"},
        {CHOICE, "{\"anything\":null}", NULL},
        {CHOICE, "{\"scalars\":{},\"behind\":\"x\",\"color\":\"COLOR_RED\"}", NULL},
    };
    CHECK(rows);
}

static void test_lists_and_maps(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {LISTS,
         "{\"doubles\":[0,0.5,\"NaN\"],\"floats\":[-1.5],\"int32s\":[0,-1],\"sint64s\":[\"0\",\"-1\"]}",
         NULL},
        {LISTS, "{\"fixed32s\":[0,1],\"bools\":[false,true],\"strings\":[\"\",\"x\"],\"byteStrings\":[\"\"]}",
         NULL},
        {LISTS, "{\"colors\":[\"COLOR_RED\",5],\"messages\":[{},{\"anInt32\":1}],\"unpacked\":[\"0\",\"1\"]}",
         NULL},
        {LISTS, "{\"nulls\":[null,null]}", NULL},
        {LISTS, "{\"doubles\":[],\"strings\":null}", "{}"},
        {MAPS, "{\"byString\":{\"\":\"\",\"a\":\"b\"}}", NULL},
        {MAPS, "{\"byInt32\":{\"-1\":\"COLOR_RED\",\"0\":\"COLOR_UNSPECIFIED\"}}", NULL},
        {MAPS, "{\"bySint64\":{\"-9223372036854775808\":1.5}}", NULL},
        {MAPS, "{\"byUint64\":{\"18446744073709551615\":\"AAAA\"}}", NULL},
        {MAPS, "{\"byBool\":{\"false\":{},\"true\":{\"anInt32\":1}}}", NULL},
        {MAPS, "{\"byFixed32\":{\"4294967295\":\"1970-01-01T00:00:00Z\"}}", NULL},
        {MAPS, "{\"values\":{\"a\":null,\"b\":[1,{\"c\":true}]}}", NULL},
        {MAPS, "{\"byString\":{}}", "{}"},
    };
    CHECK(rows);
}

static void test_times(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {WELL, "{\"time\":\"0001-01-01T00:00:00Z\"}", NULL},
        {WELL, "{\"time\":\"9999-12-31T23:59:59.999999999Z\"}", NULL},
        {WELL, "{\"time\":\"2026-11-22T10:51:31.25Z\"}", "{\"time\":\"2026-11-22T10:51:31.250Z\"}"},
        {WELL, "{\"time\":\"1969-12-31T23:59:59.000001Z\"}", NULL},
        {WELL, "{\"time\":\"2024-02-29T23:00:00-01:30\"}", "{\"time\":\"2024-03-01T00:30:00Z\"}"},
        {WELL, "{\"duration\":\"0s\"}", NULL},
        {WELL, "{\"duration\":\"-0.5s\"}", "{\"duration\":\"-0.500s\"}"},
        {WELL, "{\"duration\":\"315576000000s\"}", NULL},
        {WELL, "{\"duration\":\"-1.000000001s\"}", NULL},
        {"google.protobuf.Timestamp", "\"1970-01-01T00:00:01Z\"", NULL},
    };
    CHECK(rows);
}

static void test_well_known(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {WELL, "{\"mask\":\"fooBar.baz,x\"}", NULL},
        {WELL, "{\"mask\":\"\"}", NULL},
        {WELL, "{\"empty\":{}}", NULL},
        {WELL, "{\"structure\":{\"\":null,\"a\":1.5,\"b\":\"x\",\"c\":true,\"d\":{},\"e\":[]}}", NULL},
        {WELL, "{\"value\":null}", NULL},
        {WELL, "{\"value\":[[],{},false,0]}", NULL},
        {WELL, "{\"list\":[],\"several\":[null,1]}", NULL},
        {WELL, "{\"wrappedDouble\":0,\"wrappedFloat\":1.5,\"wrappedInt64\":\"1\",\"wrappedUint64\":\"0\"}",
         NULL},
        {WELL, "{\"wrappedInt32\":0,\"wrappedUint32\":1,\"wrappedBool\":false,\"wrappedString\":\"\"}", NULL},
        {WELL, "{\"wrappedBytes\":\"\",\"nullValue\":null}", "{\"wrappedBytes\":\"\"}"},
        {WELL, "{\"wrappedBytes\":null,\"time\":null,\"any\":null,\"structure\":null}", "{}"},
    };
    CHECK(rows);
}

static void test_any(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {WELL, "{\"any\":{}}", NULL},
        {WELL, "{\"any\":{\"@type\":\"type.googleapis.com/rich.v1.Tree\",\"label\":\"x\"}}", NULL},
        {WELL, "{\"any\":{\"label\":\"x\",\"@type\":\"a/b/rich.v1.Tree\"}}",
         "{\"any\":{\"@type\":\"a/b/rich.v1.Tree\",\"label\":\"x\"}}"},
        {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Duration\",\"value\":\"1s\"}}", NULL},
        {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Empty\"}}", NULL},
        {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Value\",\"value\":null}}", NULL},
        {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Any\",\"value\":{\"@type\":\"/rich.v1.Tree\"}}}",
         NULL},
        {WELL, "{\"anys\":[{\"@type\":\"/google.protobuf.Int64Value\",\"value\":\"1\"},{}]}", NULL},
    };
    CHECK(rows);
}

static void test_ignore_unknown(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {SCALARS, "{\"nope\":{\"a\":[1]},\"anInt32\":1}", "{\"anInt32\":1}"},
        {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Duration\",\"value\":\"1s\",\"x\":1}}",
         "{\"any\":{\"@type\":\"/google.protobuf.Duration\",\"value\":\"1s\"}}"},
    };
    check(rows, sizeof rows / sizeof *rows, &(struct nrpc_json_options){.ignore_unknown = true});
}

// ---- what is refused

static const struct {
    const char *type, *json;
    int code;
    const char *problem;
} refusals[] = {
    {SCALARS, "", NRPC_INVALID_ARGUMENT, "line 1, column 0: "},
    {SCALARS, "{\"anInt32\":1", NRPC_INVALID_ARGUMENT, "line 1, column 12: "},
    {SCALARS, "{} x", NRPC_INVALID_ARGUMENT, "end of file expected"},
    {SCALARS, "[]", NRPC_INVALID_ARGUMENT, "a list is no rich.v1.Scalars"},
    {SCALARS, "null", NRPC_INVALID_ARGUMENT, "null is no rich.v1.Scalars"},
    {SCALARS, "{\"nope\":1}", NRPC_INVALID_ARGUMENT, "rich.v1.Scalars has no field \"nope\""},
    {SCALARS, "{\"\":1}", NRPC_INVALID_ARGUMENT, "rich.v1.Scalars has no field \"\""},
    {SCALARS, "{\"anInt32\":1,\"anInt32\":2}", NRPC_INVALID_ARGUMENT, "duplicate object key"},
    {SCALARS, "{\"anInt32\":1,\"an_int32\":2}", NRPC_INVALID_ARGUMENT,
     "anInt32 and an_int32 are the same field"},
    {SCALARS, "{\"anInt32\":1.5}", NRPC_INVALID_ARGUMENT, "anInt32: 1.5 is no int32"},
    {SCALARS, "{\"anInt32\":\"1.5\"}", NRPC_INVALID_ARGUMENT, "anInt32: \"1.5\" is no int32"},
    {SCALARS, "{\"anInt32\":\" 1\"}", NRPC_INVALID_ARGUMENT, "anInt32: \" 1\" is no int32"},
    {SCALARS, "{\"anInt32\":\"01\"}", NRPC_INVALID_ARGUMENT, "anInt32: \"01\" is no int32"},
    {SCALARS, "{\"anInt32\":\"\"}", NRPC_INVALID_ARGUMENT, "anInt32: \"\" is no int32"},
    {SCALARS, "{\"anInt32\":\"1\\u0000\"}", NRPC_INVALID_ARGUMENT, "is no int32"},
    {SCALARS, "{\"anInt32\":true}", NRPC_INVALID_ARGUMENT, "anInt32: true is no int32"},
    {SCALARS, "{\"anInt32\":2147483648}", NRPC_INVALID_ARGUMENT, "2147483648 is out of the range of int32"},
    {SCALARS, "{\"anInt32\":-2147483649}", NRPC_INVALID_ARGUMENT, "-2147483649 is out of the range of int32"},
    {SCALARS, "{\"aUint32\":-1}", NRPC_INVALID_ARGUMENT, "aUint32: -1 is out of the range of uint32"},
    {SCALARS, "{\"aUint64\":-1}", NRPC_INVALID_ARGUMENT, "aUint64: -1 is out of the range of uint64"},
    {SCALARS, "{\"aUint64\":18446744073709551615}", NRPC_INVALID_ARGUMENT,
     "write so large a number as a string"},
    {SCALARS, "{\"aUint64\":\"18446744073709551616\"}", NRPC_INVALID_ARGUMENT, "out of the range of uint64"},
    {SCALARS, "{\"anInt64\":\"9223372036854775808\"}", NRPC_INVALID_ARGUMENT, "out of the range of int64"},
    {SCALARS, "{\"anInt64\":1e300}", NRPC_INVALID_ARGUMENT, "out of the range of int64"},
    {SCALARS, "{\"aFloat\":3.5e38}", NRPC_INVALID_ARGUMENT, "out of the range of float"},
    {SCALARS, "{\"aDouble\":\"1e999\"}", NRPC_INVALID_ARGUMENT, "out of the range of double"},
    {SCALARS, "{\"aDouble\":1e999}", NRPC_INVALID_ARGUMENT, "write so large a number as a string"},
    {SCALARS, "{\"aDouble\":\"nan\"}", NRPC_INVALID_ARGUMENT, "aDouble: \"nan\" is no double"},
    {SCALARS, "{\"aDouble\":\"0x1\"}", NRPC_INVALID_ARGUMENT, "aDouble: \"0x1\" is no double"},
    {SCALARS, "{\"aDouble\":\"\"}", NRPC_INVALID_ARGUMENT, "aDouble: \"\" is no double"},
    {SCALARS, "{\"aDouble\":NaN}", NRPC_INVALID_ARGUMENT, "invalid token"},
    {SCALARS, "{\"aBool\":1}", NRPC_INVALID_ARGUMENT, "aBool: 1 is no bool"},
    {SCALARS, "{\"aBool\":\"true\"}", NRPC_INVALID_ARGUMENT, "aBool: \"true\" is no bool"},
    {SCALARS, "{\"aString\":1}", NRPC_INVALID_ARGUMENT, "aString: 1 is no string"},
    {SCALARS, "{\"aString\":\"\xff\"}", NRPC_INVALID_ARGUMENT, "unable to decode byte 0xff"},
    {SCALARS, "{\"aString\":\"\\ud800\"}", NRPC_INVALID_ARGUMENT, "invalid Unicode"},
    {SCALARS, "{\"someBytes\":\"A\"}", NRPC_INVALID_ARGUMENT, "someBytes: \"A\" is no base64"},
    {SCALARS, "{\"someBytes\":\"AA=\"}", NRPC_INVALID_ARGUMENT, "is no base64"},
    {SCALARS, "{\"someBytes\":\"A A=\"}", NRPC_INVALID_ARGUMENT, "is no base64"},
    {SCALARS, "{\"someBytes\":\"====\"}", NRPC_INVALID_ARGUMENT, "is no base64"},
    {SCALARS, "{\"color\":\"GREEN\"}", NRPC_INVALID_ARGUMENT, "color: \"GREEN\" is no rich.v1.Color"},
    {SCALARS, "{\"color\":1.5}", NRPC_INVALID_ARGUMENT, "color: 1.5 is no rich.v1.Color"},
    {SCALARS, "{\"color\":2147483648}", NRPC_INVALID_ARGUMENT, "out of the range of rich.v1.Color"},
    {LISTS, "{\"messages\":[{},{\"anInt32\":[]}]}", NRPC_INVALID_ARGUMENT,
     "messages[1].anInt32: a list is no int32"},
    {LISTS, "{\"strings\":[\"a\",null]}", NRPC_INVALID_ARGUMENT, "strings[1]: null cannot be an element"},
    {LISTS, "{\"strings\":\"a\"}", NRPC_INVALID_ARGUMENT, "strings: \"a\" is no list"},
    {LISTS, "{\"int32s\":[1,\"x\"]}", NRPC_INVALID_ARGUMENT, "int32s[1]: \"x\" is no int32"},
    {MAPS, "{\"byString\":{\"a\":null}}", NRPC_INVALID_ARGUMENT, "byString[\"a\"]: null cannot be a value"},
    {MAPS, "{\"byString\":[]}", NRPC_INVALID_ARGUMENT, "byString: a list is no object"},
    {MAPS, "{\"byInt32\":{\"x\":0}}", NRPC_INVALID_ARGUMENT, "byInt32: \"x\" is no key of type int32"},
    {MAPS, "{\"byInt32\":{\"1.0\":0}}", NRPC_INVALID_ARGUMENT, "\"1.0\" is no key of type int32"},
    {MAPS, "{\"byBool\":{\"True\":{}}}", NRPC_INVALID_ARGUMENT, "\"True\" is no key of type bool"},
    {MAPS, "{\"byBool\":{\"true\":{\"aBool\":0}}}", NRPC_INVALID_ARGUMENT,
     "byBool[\"true\"].aBool: 0 is no bool"},
    {MAPS, "{\"byString\":{\"a\\n\":1}}", NRPC_INVALID_ARGUMENT, "byString[\"a?\"]: 1 is no string"},
    {CHOICE, "{\"name\":\"\",\"number\":1}", NRPC_INVALID_ARGUMENT, "only one of name and number can be set"},
    {CHOICE, "{\"number\":1,\"name\":\"\"}", NRPC_INVALID_ARGUMENT, "only one of name and number can be set"},
    {CHOICE, "{\"nothing\":null,\"anything\":null}", NRPC_INVALID_ARGUMENT,
     "only one of nothing and anything"},
    {WELL, "{\"time\":\"x\"}", NRPC_INVALID_ARGUMENT, "time: \"x\" is no google.protobuf.Timestamp"},
    {WELL, "{\"times\":[\"2026-02-29T00:00:00Z\"]}", NRPC_INVALID_ARGUMENT,
     "times[0]: \"2026-02-29T00:00:00Z\" is no"},
    {WELL, "{\"time\":\"2026-01-01T00:00:60Z\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Timestamp"},
    {WELL, "{\"time\":\"2026-01-01T00:00:00z\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Timestamp"},
    {WELL, "{\"time\":\"2026-01-01T00:00:00\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Timestamp"},
    {WELL, "{\"time\":\"2026-01-01T00:00:00.Z\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Timestamp"},
    {WELL, "{\"time\":\"2026-01-01T00:00:00.1234567890Z\"}", NRPC_INVALID_ARGUMENT,
     "is no google.protobuf.Tim"},
    {WELL, "{\"time\":\"0000-12-31T23:59:59Z\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Timestamp"},
    {WELL, "{\"time\":\"9999-12-31T23:59:59-01:00\"}", NRPC_INVALID_ARGUMENT,
     "is no google.protobuf.Timestamp"},
    {WELL, "{\"time\":0}", NRPC_INVALID_ARGUMENT, "time: 0 is no google.protobuf.Timestamp"},
    {WELL, "{\"duration\":\"1\"}", NRPC_INVALID_ARGUMENT, "duration: \"1\" is no google.protobuf.Duration"},
    {WELL, "{\"duration\":\"315576000001s\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Duration"},
    {WELL, "{\"duration\":\"--1s\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.Duration"},
    {WELL, "{\"mask\":\"foo_bar\"}", NRPC_INVALID_ARGUMENT,
     "mask: \"foo_bar\" is no google.protobuf.FieldMask"},
    {WELL, "{\"mask\":\"a,\"}", NRPC_INVALID_ARGUMENT, "is no google.protobuf.FieldMask"},
    {WELL, "{\"empty\":{\"a\":1}}", NRPC_INVALID_ARGUMENT, "empty: google.protobuf.Empty has no field \"a\""},
    {WELL, "{\"any\":{\"a\":1}}", NRPC_INVALID_ARGUMENT, "any: an Any needs \"@type\""},
    {WELL, "{\"any\":{\"@type\":\"/no.Such\"}}", NRPC_NOT_FOUND, "any: the schema has no type \"/no.Such\""},
    {WELL, "{\"any\":{\"@type\":\"rich.v1.Tree\"}}", NRPC_NOT_FOUND, "any: the schema has no type"},
    {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Duration\"}}", NRPC_INVALID_ARGUMENT, "needs \"value\""},
    {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Duration\",\"value\":1}}", NRPC_INVALID_ARGUMENT,
     "any.value: 1 is"},
    {WELL, "{\"any\":{\"@type\":\"/google.protobuf.Duration\",\"value\":\"1s\",\"x\":1}}",
     NRPC_INVALID_ARGUMENT, "has no field \"x\""},
    {WELL, "{\"structure\":[]}", NRPC_INVALID_ARGUMENT, "structure: a list is no object"},
    {WELL, "{\"list\":{}}", NRPC_INVALID_ARGUMENT, "list: an object is no list"},
    {WELL, "{\"wrappedInt32\":\"x\"}", NRPC_INVALID_ARGUMENT, "wrappedInt32: \"x\" is no int32"},
    {"rich.legacy.Old", "{\"pair\":{}}", NRPC_UNIMPLEMENTED, "pair: groups have no JSON"},
    {"rich.legacy.Old", "{\"[rich.legacy.extra]\":1}", NRPC_INVALID_ARGUMENT, "has no field"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        fixture_refuse(refusals[i].type, refusals[i].json, refusals[i].code, refusals[i].problem);
}

static char *repeat(const char *before, const char *after, size_t count)
{
    char *out = mem_alloc(count * (strlen(before) + strlen(after)) + 1), *at = out;
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, before);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, after);
    *at = 0;
    return out;
}

static void test_depth(void **state)
{
    (void)state;
    char *fits = repeat("{\"left\":", "}", 99), *json = mem_alloc(strlen(fits) + 16);
    char *middle = fits + 99 * strlen("{\"left\":");
    sprintf(json, "%.*s{}%s", (int)(middle - fits), fits, middle);
    char *back = fixture_convert("rich.v1.Tree", json, NULL);
    assert_string_equal(back, json);
    free(back);
    sprintf(json, "%.*s{\"left\":{}}%s", (int)(middle - fits), fits, middle);
    fixture_refuse("rich.v1.Tree", json, NRPC_RESOURCE_EXHAUSTED, "...");
    fixture_refuse("rich.v1.Tree", json, NRPC_RESOURCE_EXHAUSTED,
                   ".left.left: messages nest deeper than 100");
    free(json);
    free(fits);
    char *lists = repeat("[", "]", 100000);
    fixture_refuse("google.protobuf.Value", lists, NRPC_INVALID_ARGUMENT, "maximum parsing depth");
    free(lists);
}

static void test_limits(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint8_t *wire;
    size_t size;
    const struct schema_message *m = fixture_type(SCALARS);
    static const char text[] = "{\"aString\":\"0123456789\"}"; // 12 bytes as a message
    struct nrpc_json_options o = {.wire_bytes_max = 12, .text_bytes_max = strlen(text)};
    assert_int_equal(nrpc_json_to_wire(m, text, strlen(text), &o, &wire, &size, &st), NRPC_OK);
    assert_int_equal(size, 12);
    free(wire);
    o.wire_bytes_max = 11;
    assert_int_equal(nrpc_json_to_wire(m, text, strlen(text), &o, &wire, &size, &st),
                     NRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(st.text, "the message is larger than 11 bytes");
    o = (struct nrpc_json_options){.text_bytes_max = strlen(text) - 1};
    assert_int_equal(nrpc_json_to_wire(m, text, strlen(text), &o, &wire, &size, &st),
                     NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, "the JSON is larger than"));
    char *commas = repeat("[],", "", 1000000);
    int code = nrpc_json_to_wire(m, commas, strlen(commas), NULL, &wire, &size, &st);
    assert_int_equal(code, NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, "too many values"));
    free(commas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_reals),
        cmocka_unit_test(test_strings_and_bytes),
        cmocka_unit_test(test_names_and_enums),
        cmocka_unit_test(test_presence),
        cmocka_unit_test(test_lists_and_maps),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_well_known),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_ignore_unknown),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
