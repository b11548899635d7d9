// SPDX-License-Identifier: Apache-2.0
// request.c: reads a CodeGeneratorRequest and refuses what protoc would not send.
#include "request.h"
#include "text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
    REQUEST_BYTES_MAX = 256 << 20,
    NESTING_MAX = 100, // protoc's own limit; protobuf-c has none and would run out of stack
};

struct wire {
    const uint8_t *at, *end;
};

static bool wire_varint(struct wire *w, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && w->at < w->end; shift += 7) {
        uint8_t byte = *w->at++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

// Takes one field; a length-prefixed one leaves its content in *content. False when there is no valid field.
static bool wire_field(struct wire *w, uint32_t *number, struct wire *content)
{
    uint64_t key, length = 0;
    if (!wire_varint(w, &key))
        return false;
    *number = (uint32_t)(key >> 3);
    *content = (struct wire){NULL, NULL};
    switch (key & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return wire_varint(w, &length);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        length = 8;
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        length = 4;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!wire_varint(w, &length))
            return false;
        *content = (struct wire){w->at, w->at};
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(w->end - w->at))
        return false;
    w->at += length;
    if (content->at)
        content->end = w->at;
    return true;
}

// Whether a packed message is sound on the outside and nests no deeper than `levels` more.
static bool is_shallow(struct wire w, const ProtobufCMessageDescriptor *type, int levels)
{
    if (levels == 0)
        return false;
    while (w.at < w.end) {
        uint32_t number;
        struct wire content;
        if (!wire_field(&w, &number, &content))
            return false;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, number);
        if (content.at && field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
            !is_shallow(content, field->descriptor, levels - 1))
            return false;
    }
    return true;
}

static bool read_all(FILE *in, struct text *out, const char **problem)
{
    char piece[16 * 1024];
    size_t got;
    while ((got = fread(piece, 1, sizeof piece, in)) > 0) {
        text_append(out, piece, got);
        if (out->length > REQUEST_BYTES_MAX) {
            *problem = "the request is too large";
            return false;
        }
    }
    if (ferror(in))
        *problem = strerror(errno);
    return !ferror(in);
}

static bool are_enums_named(enum_proto *const *enums, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t v = 0; v < enums[i]->n_value; v++)
            if (!enums[i]->value[v]->name)
                return false;
        if (!enums[i]->name)
            return false;
    }
    return true;
}

static bool is_field_named(const message_proto *message, const field_proto *field)
{
    bool is_typed = field->type != GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE ||
                    (field->type_name && field->type_name[0] == '.');
    bool is_placed = !field->has_oneof_index ||
                     (field->oneof_index >= 0 && (size_t)field->oneof_index < message->n_oneof_decl);
    return field->name && is_typed && is_placed;
}

static bool are_messages_named(message_proto *const *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const message_proto *m = messages[i];
        for (size_t f = 0; f < m->n_field; f++)
            if (!is_field_named(m, m->field[f]))
                return false;
        for (size_t o = 0; o < m->n_oneof_decl; o++)
            if (!m->oneof_decl[o]->name)
                return false;
        if (!m->name || !are_enums_named(m->enum_type, m->n_enum_type) ||
            !are_messages_named(m->nested_type, m->n_nested_type))
            return false;
    }
    return true;
}

static bool is_service_named(const service_proto *service)
{
    for (size_t i = 0; i < service->n_method; i++) {
        const method_proto *m = service->method[i];
        if (!m->name || !m->input_type || m->input_type[0] != '.' || !m->output_type ||
            m->output_type[0] != '.')
            return false;
    }
    return service->name != NULL;
}

static bool is_file_named(const file_proto *file)
{
    for (size_t i = 0; i < file->n_service; i++)
        if (!is_service_named(file->service[i]))
            return false;
    return file->name && are_enums_named(file->enum_type, file->n_enum_type) &&
           are_messages_named(file->message_type, file->n_message_type);
}

static bool is_complete(const code_request *request)
{
    for (size_t i = 0; i < request->n_proto_file; i++)
        if (!is_file_named(request->proto_file[i]))
            return false;
    for (size_t i = 0; i < request->n_proto_file; i++)
        for (size_t k = 0; k < request->proto_file[i]->n_dependency; k++)
            if (!request_file(request, request->proto_file[i]->dependency[k]))
                return false;
    for (size_t i = 0; i < request->n_file_to_generate; i++)
        if (!request_file(request, request->file_to_generate[i]))
            return false;
    return request->n_file_to_generate > 0;
}

const code_request *request_read(FILE *in, struct arena *a, const char **problem)
{
    struct text bytes = {.arena = a};
    if (!read_all(in, &bytes, problem))
        return NULL;
    *problem = "standard input is not a CodeGeneratorRequest; run this program through protoc";
    const uint8_t *data = (const uint8_t *)bytes.at;
    struct wire wire = {data, data ? data + bytes.length : NULL};
    if (!is_shallow(wire, &google__protobuf__compiler__code_generator_request__descriptor, NESTING_MAX))
        return NULL;
    const code_request *request =
        google__protobuf__compiler__code_generator_request__unpack(&a->allocator, bytes.length, data);
    return request && is_complete(request) ? request : NULL;
}

const file_proto *request_file(const code_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_proto_file; i++)
        if (strcmp(request->proto_file[i]->name, name) == 0)
            return request->proto_file[i];
    return NULL;
}

const char *request_oneof_name(struct arena *a, const message_proto *message, size_t index)
{
    for (size_t i = 0; i < message->n_field; i++) {
        const field_proto *field = message->field[i];
        if (field->proto3_optional && field->has_oneof_index && (size_t)field->oneof_index == index)
            return text_format(a, "has_%s", field->name);
    }
    return message->oneof_decl[index]->name;
}
