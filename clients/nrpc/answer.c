// SPDX-License-Identifier: Apache-2.0
// answer.c: responses as JSON, metadata, and errors with their details.
#include "answer.h"

#include "base/mem.h"
#include "cli/text.h"
#include "nrpc/json/base64.h"
#include "nrpc/v1/status.nrpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nrpc_json_options answer_json(const struct cli *cli)
{
    return (struct nrpc_json_options){
        .emit_defaults = cli->emit_defaults,
        .pretty = !cli->compact,
        .wire_bytes_max = CLI_MESSAGE_MAX,
        .text_bytes_max = CLI_TEXT_MAX,
    };
}

// ---- responses

int answer_print(struct source *s, const struct schema_message **type, const ProtobufCMessage *message)
{
    struct nrpc_json_options o = answer_json(s->cli);
    struct nrpc_status st;
    char *text;
    uint8_t *wire = mem_alloc(protobuf_c_message_get_packed_size(message));
    size_t size = protobuf_c_message_pack(message, wire);
    int code = nrpc_json_from_wire(*type, wire, size, &o, &text, &st);
    if (code == NRPC_NOT_FOUND && source_add_all(s, NULL) == NRPC_OK) { // the type in an Any
        const struct schema_message *again = schema_message(source_schema(s), (*type)->full_name);
        *type = again ? again : *type;
        code = nrpc_json_from_wire(*type, wire, size, &o, &text, &st);
    }
    free(wire);
    if (code)
        return cli_fail(s->cli, "a response cannot be shown: %s", st.text);
    puts(text);
    free(text);
    return fflush(stdout) ? cli_fail(s->cli, "cannot write the output: %m") : CLI_OK;
}

// ---- metadata

static char *base64_of(const void *data, size_t size)
{
    char *text = mem_calloc(1, base64_length(size) + 1);
    base64_encode(data, size, text);
    return text;
}

void answer_print_metadata(const struct cli *cli, const char *what, const struct nrpc_metadata *metadata,
                           size_t count)
{
    for (size_t i = 0; cli->verbose && i < count; i++) {
        const struct nrpc_metadata *m = &metadata[i];
        size_t n = strlen(m->key);
        bool is_binary = n > 4 && !strcmp(m->key + n - 4, "-bin");
        char *shown = is_binary ? base64_of(m->value, m->value_bytes) : mem_strdup(m->value);
        fprintf(stderr, "%s %s: ", what, m->key);
        text_print(stderr, shown, strlen(shown));
        fputc('\n', stderr);
        free(shown);
    }
}

// ---- errors

// {"@type": "...", ...} with the fields of the message; of a type with a form of its own, under "value".
static bool print_known(const struct schema_message *type, ProtobufCBinaryData value)
{
    struct nrpc_json_options o = {0};
    char *text;
    if (nrpc_json_from_wire(type, value.data, value.len, &o, &text, NULL))
        return false;
    bool is_plain = type->special == SCHEMA_PLAIN;
    bool is_empty = is_plain && !strcmp(text, "{}");
    fprintf(stderr, "{\"@type\":\"type.googleapis.com/%s\"%s%s", type->full_name, is_empty ? "" : ",",
            is_plain ? "" : "\"value\":");
    fprintf(stderr, "%s%s\n", is_plain ? text + 1 : text, is_plain ? "" : "}");
    free(text);
    return true;
}

static void print_unknown(const Google__Protobuf__Any *any)
{
    char *value = base64_of(any->value.data, any->value.len);
    fputs("{\"@type\":\"", stderr);
    for (const char *c = any->type_url; *c; c++)
        fputc((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '-' && *c <= '9') || *c == '_'
                  ? *c
                  : '?',
              stderr);
    fprintf(stderr, "\",\"value\":\"%s\"}\n", value);
    free(value);
}

static void print_detail(struct source *s, const Google__Protobuf__Any *any)
{
    const char *slash = strrchr(any->type_url, '/');
    const char *name = slash ? slash + 1 : any->type_url;
    const struct schema_message *type = schema_message(source_schema(s), name);
    if (!type && source_add_all(s, NULL) == NRPC_OK)
        type = schema_message(source_schema(s), name);
    if (!type || !print_known(type, any->value))
        print_unknown(any);
}

int answer_print_end(struct source *s, const struct nrpc_status *st, const void *details,
                     size_t details_bytes)
{
    if (st->code == NRPC_OK)
        return CLI_OK;
    int exit_code = cli_rpc_fail(st);
    Nrpc__V1__Status *all = details ? nrpc__v1__status__unpack(NULL, details_bytes, details) : NULL;
    for (size_t i = 0; all && i < all->n_details; i++)
        print_detail(s, all->details[i]);
    nrpc__v1__status__free_unpacked(all, NULL);
    return exit_code;
}
