// SPDX-License-Identifier: Apache-2.0
// driver.c: json_driver SET converts what it is told to on standard input, for oracle_test.py.
//
// A line is "to_wire TYPE JSON" or "from_wire TYPE HEX", "from_wire+" for default values too. The answer is a
// line: "ok" and the hex or JSON, or "error" and the sentence.
#include "nrpc/json/json.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_BYTES_MAX = 1 << 20 };

static struct schema *read_schema(const char *path)
{
    struct nrpc_status st;
    struct schema *schema = NULL;
    FILE *f = fopen(path, "rb");
    unsigned char *data = mem_alloc(SET_BYTES_MAX);
    size_t size = f ? fread(data, 1, SET_BYTES_MAX, f) : 0;
    if (f)
        fclose(f);
    if (schema_create_from_set(data, size, &schema, &st))
        fprintf(stderr, "%s: %s\n", path, st.text);
    free(data);
    return schema;
}

static void to_wire(const struct schema_message *type, const char *json)
{
    struct nrpc_status st;
    uint8_t *wire;
    size_t size;
    if (nrpc_json_to_wire(type, json, strlen(json), NULL, &wire, &size, &st)) {
        printf("error %s\n", st.text);
        return;
    }
    printf("ok ");
    for (size_t i = 0; i < size; i++)
        printf("%02x", wire[i]);
    printf("\n");
    free(wire);
}

static void from_wire(const struct schema_message *type, char *hex, bool emit_defaults)
{
    struct nrpc_status st;
    char *text;
    size_t size = 0;
    unsigned byte;
    for (; sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        hex[size] = (char)byte; // two digits become a byte, never ahead of the reading
    struct nrpc_json_options options = {.emit_defaults = emit_defaults};
    if (nrpc_json_from_wire(type, hex, size, &options, &text, &st)) {
        printf("error %s\n", st.text);
        return;
    }
    printf("ok %s\n", text);
    free(text);
}

int main(int argc, char **argv)
{
    struct schema *schema = argc == 2 ? read_schema(argv[1]) : NULL;
    if (!schema)
        return 1;
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *what = strsep(&rest, " "), *name = strsep(&rest, " ");
        const struct schema_message *type = name ? schema_message(schema, name) : NULL;
        if (!type || !rest)
            printf("error no such type, or nothing to convert\n");
        else if (strcmp(what, "to_wire") == 0)
            to_wire(type, rest);
        else
            from_wire(type, rest, strcmp(what, "from_wire+") == 0);
        fflush(stdout);
    }
    free(line);
    schema_destroy(schema);
    return 0;
}
