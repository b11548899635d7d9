// SPDX-License-Identifier: Apache-2.0
// options.c: reads extensions of descriptor.proto's options out of unknown fields.
#include "options.h"

#include <c_options.pb-c.h>
#include <string.h>

enum {
    PB_C = 1019,           // protobuf-c's options, of files and of messages
    ROLES = 61527,         // of methods
    SERVICE_ROLES = 61527, // of services
};

struct content {
    const uint8_t *data;
    size_t count;
};

// The content of the next length-prefixed field with this number. *at: where to look on, at first 0.
static bool next_extension(const ProtobufCMessage *options, uint32_t number, size_t *at, struct content *out)
{
    while (options && *at < options->n_unknown_fields) {
        const ProtobufCMessageUnknownField *field = &options->unknown_fields[(*at)++];
        if (field->tag != number || field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            continue;
        size_t prefix = 0; // an unknown field's bytes still begin with their length
        while (prefix < field->len && field->data[prefix++] & 0x80)
            ;
        *out = (struct content){field->data + prefix, field->len - prefix};
        return true;
    }
    return false;
}

const char *options_c_package(struct arena *a, const file_proto *file)
{
    const char *found = NULL;
    struct content content;
    for (size_t at = 0; next_extension(file->options ? &file->options->base : NULL, PB_C, &at, &content);) {
        const Nrpc__Codegen__CFileOptions *options =
            nrpc__codegen__cfile_options__unpack(&a->allocator, content.count, content.data);
        if (options && options->c_package)
            found = options->c_package;
    }
    return found;
}

const char *options_base_member(struct arena *a, const message_proto *message)
{
    const char *found = "base";
    struct content content;
    for (size_t at = 0;
         next_extension(message->options ? &message->options->base : NULL, PB_C, &at, &content);) {
        const Nrpc__Codegen__CMessageOptions *options =
            nrpc__codegen__cmessage_options__unpack(&a->allocator, content.count, content.data);
        if (options && options->base_field_name)
            found = options->base_field_name;
    }
    return found;
}

static const char *const *find_strings(struct arena *a, const ProtobufCMessage *options, uint32_t number)
{
    const char **strings = arena_alloc(a, ((options ? options->n_unknown_fields : 0) + 1) * sizeof *strings);
    size_t count = 0;
    struct content content;
    for (size_t at = 0; next_extension(options, number, &at, &content);) {
        char *string = arena_calloc(a, content.count + 1);
        memcpy(string, content.data, content.count);
        strings[count++] = string;
    }
    strings[count] = NULL;
    return strings;
}

const char *const *options_roles(struct arena *a, const service_proto *service, const method_proto *method)
{
    const char *const *roles = find_strings(a, method->options ? &method->options->base : NULL, ROLES);
    if (!roles[0])
        roles = find_strings(a, service->options ? &service->options->base : NULL, SERVICE_ROLES);
    return roles;
}

bool options_is_idempotent(const method_proto *method)
{
    return method->options && method->options->idempotency_level !=
                                  GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENCY_UNKNOWN;
}
