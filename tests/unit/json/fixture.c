// SPDX-License-Identifier: Apache-2.0
// fixture.c: reads the descriptor set that the build has made; converts for the tests.
#include "fixture.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SET_BYTES_MAX = 1 << 20, WIRE_MAX = 4096 };

struct schema *rich;

unsigned char *fixture_read_set(size_t *size)
{
    FILE *f = fopen(JSON_TEST_SET, "rb");
    assert_non_null(f);
    unsigned char *data = mem_alloc(SET_BYTES_MAX);
    *size = fread(data, 1, SET_BYTES_MAX, f);
    fclose(f);
    return data;
}

int fixture_setup(void **state)
{
    (void)state;
    struct nrpc_status st;
    size_t size;
    unsigned char *set = fixture_read_set(&size);
    int code = schema_create_from_set(set, size, &rich, &st);
    free(set);
    if (code)
        fprintf(stderr, "%s\n", st.text);
    return code;
}

int fixture_teardown(void **state)
{
    (void)state;
    schema_destroy(rich);
    return 0;
}

const struct schema_message *fixture_type(const char *full_name)
{
    const struct schema_message *m = schema_message(rich, full_name);
    assert_non_null(m);
    return m;
}

size_t fixture_bytes(const char *hex, unsigned char *out)
{
    size_t count = 0;
    int used;
    unsigned byte;
    for (; sscanf(hex, " %2x%n", &byte, &used) == 1; hex += used)
        out[count++] = (unsigned char)byte;
    return count;
}

static char *print(const char *type, const void *wire, size_t size, const struct nrpc_json_options *options)
{
    struct nrpc_status st;
    char *text = NULL;
    if (nrpc_json_from_wire(fixture_type(type), wire, size, options, &text, &st))
        fail_msg("%s: %s", type, st.text);
    assert_int_equal(st.code, NRPC_OK);
    return text;
}

char *fixture_convert(const char *type, const char *json, const struct nrpc_json_options *options)
{
    struct nrpc_status st;
    uint8_t *wire;
    size_t size;
    if (nrpc_json_to_wire(fixture_type(type), json, strlen(json), options, &wire, &size, &st))
        fail_msg("%s: %s: %s", type, json, st.text);
    char *text = print(type, wire, size, options);
    free(wire);
    return text;
}

char *fixture_print(const char *type, const char *hex, const struct nrpc_json_options *options)
{
    unsigned char wire[WIRE_MAX];
    return print(type, wire, fixture_bytes(hex, wire), options);
}

static void check_refusal(const char *what, int code, const struct nrpc_status *st, int wanted,
                          const char *problem)
{
    if (code != wanted || st->code != wanted || !strstr(st->text, problem))
        fail_msg("%s: wanted %s \"%s\", got %s \"%s\"", what, nrpc_code_name(wanted), problem,
                 nrpc_code_name(code), st->text);
}

void fixture_refuse(const char *type, const char *json, int code, const char *problem)
{
    struct nrpc_status st = {.code = -1};
    uint8_t *wire = NULL;
    size_t size;
    int got = nrpc_json_to_wire(fixture_type(type), json, strlen(json), NULL, &wire, &size, &st);
    check_refusal(json, got, &st, code, problem);
    assert_null(wire);
}

void fixture_refuse_wire(const char *type, const char *hex, int code, const char *problem)
{
    struct nrpc_status st = {.code = -1};
    unsigned char wire[WIRE_MAX];
    char *text = NULL;
    int got = nrpc_json_from_wire(fixture_type(type), wire, fixture_bytes(hex, wire), NULL, &text, &st);
    check_refusal(hex, got, &st, code, problem);
    assert_null(text);
}
