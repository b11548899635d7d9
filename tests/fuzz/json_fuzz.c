// SPDX-License-Identifier: Apache-2.0
// json_fuzz.c: JSON to bytes and bytes to JSON for the types of rich.proto, and schemas from any bytes.
//
// The first byte says what the rest is (see modes), the second which type it is of, and the options. Besides
// not crashing: what was converted can be converted back, and is the same JSON again.
#include "nrpc/json/json.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_BYTES_MAX = 1 << 20, HEAD = 2, PROTO_NAMES = 0x40, PRETTY = 0x80 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {
    "rich.v1.Rich",
    "rich.v1.Scalars",
    "rich.v1.Lists",
    "rich.v1.Maps",
    "rich.v1.Choice",
    "rich.v1.WellKnown",
    "rich.v1.Tree",
    "rich.legacy.Old",
    "google.protobuf.Value",
    "google.protobuf.Any",
    "google.protobuf.FileDescriptorSet",
};

static const struct schema *schema(void)
{
    static struct schema *made;
    if (made)
        return made;
    struct nrpc_status st;
    FILE *f = fopen(JSON_TEST_SET, "rb");
    uint8_t *set = mem_alloc(SET_BYTES_MAX);
    size_t size = f ? fread(set, 1, SET_BYTES_MAX, f) : 0;
    if (!f || schema_create_from_set(set, size, &made, &st))
        abort();
    fclose(f);
    free(set);
    return made;
}

// The message's JSON, read and written again, is the same.
static void check_back(const struct schema_message *type, const struct nrpc_json_options *options,
                       const char *text)
{
    struct nrpc_status st;
    uint8_t *wire;
    size_t size;
    char *again;
    if (nrpc_json_to_wire(type, text, strlen(text), options, &wire, &size, &st)) {
        // jansson has no NUL in keys; and JSON may have more values than the limits let in.
        if (strstr(text, "\\u0000") || st.code == NRPC_RESOURCE_EXHAUSTED)
            return;
        fprintf(stderr, "%s\n%s\n", text, st.text);
        abort();
    }
    if (nrpc_json_from_wire(type, wire, size, options, &again, &st) || strcmp(text, again)) {
        fprintf(stderr, "%s\n%s\n", text, st.code ? st.text : again);
        abort();
    }
    free(again);
    free(wire);
}

static void try_wire(const struct schema_message *type, const struct nrpc_json_options *options,
                     const uint8_t *data, size_t size)
{
    struct nrpc_status st;
    char *text;
    if (nrpc_json_from_wire(type, data, size, options, &text, &st))
        return;
    check_back(type, options, text);
    free(text);
    struct nrpc_json_options defaults = {.emit_defaults = true};
    if (nrpc_json_from_wire(type, data, size, &defaults, &text, &st) == NRPC_OK)
        free(text);
}

static void try_json(const struct schema_message *type, const struct nrpc_json_options *options,
                     const uint8_t *data, size_t size)
{
    struct nrpc_status st;
    uint8_t *wire;
    size_t wire_size;
    char *text;
    if (nrpc_json_to_wire(type, (const char *)data, size, options, &wire, &wire_size, &st))
        return;
    if (nrpc_json_from_wire(type, wire, wire_size, options, &text, &st)) {
        fprintf(stderr, "%s\n", st.text);
        abort();
    }
    check_back(type, options, text);
    free(text);
    free(wire);
}

// A schema from anywhere, and every message of it from these same bytes.
static void try_schema(const struct schema_message *type, const struct nrpc_json_options *options,
                       const uint8_t *data, size_t size)
{
    struct nrpc_status st;
    struct schema *made;
    char *text;
    struct nrpc_json_options defaults = {.emit_defaults = true, .text_bytes_max = 1 << 16};
    (void)type;
    if (schema_create_from_set(data, size, &made, &st))
        return;
    for (size_t i = 0; i < made->message_count; i++) {
        const struct schema_message *m = &made->messages[i];
        if (nrpc_json_from_wire(m, data, size, &defaults, &text, &st) == NRPC_OK)
            free(text);
        try_wire(m, options, data, size < 64 ? size : 64);
        try_json(m, options, (const uint8_t *)"{}", 2);
    }
    schema_destroy(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const modes[])(const struct schema_message *, const struct nrpc_json_options *,
                                 const uint8_t *, size_t) = {try_wire, try_json, try_schema};
    if (size < HEAD)
        return 0;
    struct nrpc_json_options options = {
        .proto_names = data[1] & PROTO_NAMES,
        .pretty = data[1] & PRETTY,
        .ignore_unknown = data[0] & PRETTY,
    };
    size_t count = sizeof types / sizeof *types;
    const struct schema_message *type =
        schema_message(schema(), types[(data[1] & (PROTO_NAMES - 1)) % count]);
    modes[(data[0] & (PROTO_NAMES - 1)) % (sizeof modes / sizeof *modes)](type, &options, data + HEAD,
                                                                          size - HEAD);
    return 0;
}
