// SPDX-License-Identifier: Apache-2.0
// schema_link.c: checks every definition of a schema and connects it with what it refers to.
#include "nrpc/json/schema_build.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = (1 << 29) - 1 };

// The fields that messages with a JSON form of their own must have, for they are read by number.
static const struct special_field {
    const char *message;
    enum schema_special special;
    uint32_t number;
    enum schema_type type;
    bool is_repeated;
    const char *refers_to; // NULL: no message
} special_fields[] = {
    {"google.protobuf.Any", SCHEMA_ANY, 1, SCHEMA_STRING, false, NULL},
    {"google.protobuf.Any", SCHEMA_ANY, 2, SCHEMA_BYTES, false, NULL},
    {"google.protobuf.BoolValue", SCHEMA_WRAPPER, 1, SCHEMA_BOOL, false, NULL},
    {"google.protobuf.BytesValue", SCHEMA_WRAPPER, 1, SCHEMA_BYTES, false, NULL},
    {"google.protobuf.DoubleValue", SCHEMA_WRAPPER, 1, SCHEMA_DOUBLE, false, NULL},
    {"google.protobuf.Duration", SCHEMA_DURATION, 1, SCHEMA_INT64, false, NULL},
    {"google.protobuf.Duration", SCHEMA_DURATION, 2, SCHEMA_INT32, false, NULL},
    {"google.protobuf.FieldMask", SCHEMA_FIELD_MASK, 1, SCHEMA_STRING, true, NULL},
    {"google.protobuf.FloatValue", SCHEMA_WRAPPER, 1, SCHEMA_FLOAT, false, NULL},
    {"google.protobuf.Int32Value", SCHEMA_WRAPPER, 1, SCHEMA_INT32, false, NULL},
    {"google.protobuf.Int64Value", SCHEMA_WRAPPER, 1, SCHEMA_INT64, false, NULL},
    {"google.protobuf.ListValue", SCHEMA_LIST_VALUE, 1, SCHEMA_MESSAGE, true, "google.protobuf.Value"},
    {"google.protobuf.StringValue", SCHEMA_WRAPPER, 1, SCHEMA_STRING, false, NULL},
    {"google.protobuf.Struct", SCHEMA_STRUCT, 1, SCHEMA_MESSAGE, true, "google.protobuf.Struct.FieldsEntry"},
    {"google.protobuf.Struct.FieldsEntry", SCHEMA_PLAIN, 1, SCHEMA_STRING, false, NULL},
    {"google.protobuf.Struct.FieldsEntry", SCHEMA_PLAIN, 2, SCHEMA_MESSAGE, false, "google.protobuf.Value"},
    {"google.protobuf.Timestamp", SCHEMA_TIMESTAMP, 1, SCHEMA_INT64, false, NULL},
    {"google.protobuf.Timestamp", SCHEMA_TIMESTAMP, 2, SCHEMA_INT32, false, NULL},
    {"google.protobuf.UInt32Value", SCHEMA_WRAPPER, 1, SCHEMA_UINT32, false, NULL},
    {"google.protobuf.UInt64Value", SCHEMA_WRAPPER, 1, SCHEMA_UINT64, false, NULL},
    {"google.protobuf.Value", SCHEMA_VALUE, 1, SCHEMA_ENUM, false, NULL},
    {"google.protobuf.Value", SCHEMA_VALUE, 2, SCHEMA_DOUBLE, false, NULL},
    {"google.protobuf.Value", SCHEMA_VALUE, 3, SCHEMA_STRING, false, NULL},
    {"google.protobuf.Value", SCHEMA_VALUE, 4, SCHEMA_BOOL, false, NULL},
    {"google.protobuf.Value", SCHEMA_VALUE, 5, SCHEMA_MESSAGE, false, "google.protobuf.Struct"},
    {"google.protobuf.Value", SCHEMA_VALUE, 6, SCHEMA_MESSAGE, false, "google.protobuf.ListValue"},
};

static int fail(struct nrpc_status *st, const char *scope, const char *name, const char *problem)
{
    return status_set(st, NRPC_INVALID_ARGUMENT, "%.100s%s%.80s: %s", scope, *name ? "." : "", name, problem);
}

// ---- fields

// What the compiler makes of "max_jobs": "maxJobs". NULL when the names take too much memory.
static const char *make_json_name(struct schema_build *b, const char *name)
{
    char *out = arena_alloc(&b->read, strlen(name) + 1), *to = out;
    bool is_upper = false;
    for (; out && *name; name++) {
        bool is_lower = *name >= 'a' && *name <= 'z';
        if (*name != '_')
            *to++ = is_upper && is_lower ? (char)(*name - 'a' + 'A') : *name;
        is_upper = *name == '_';
    }
    if (out)
        *to = 0;
    return out;
}

static bool can_be_packed(enum schema_type type)
{
    return type != SCHEMA_STRING && type != SCHEMA_BYTES && type != SCHEMA_MESSAGE && type != SCHEMA_GROUP;
}

// NULL, or what is wrong with a field's own descriptor.
static const char *check_field(const field_proto *proto, const message_proto *parent)
{
    if (!proto->name || !*proto->name)
        return "a field has no name";
    if (!proto->has_number || proto->number < 1 || proto->number > NUMBER_MAX)
        return "its number is out of range";
    if (!proto->has_type || (int)proto->type < SCHEMA_DOUBLE || (int)proto->type > SCHEMA_SINT64)
        return "its type is unknown";
    if (proto->has_label && (proto->label < 1 || proto->label > 3))
        return "its label is unknown";
    if (!proto->has_oneof_index)
        return NULL;
    if (proto->oneof_index < 0 || (size_t)proto->oneof_index >= parent->n_oneof_decl)
        return "its oneof does not exist";
    if (!parent->oneof_decl[proto->oneof_index]->name)
        return "its oneof has no name";
    if (proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED)
        return "a repeated field cannot be in a oneof";
    return NULL;
}

// NULL, or what is wrong with what the field refers to.
static const char *resolve(const struct schema_build *b, struct schema_field *f, const field_proto *proto)
{
    bool is_message = f->type == SCHEMA_MESSAGE || f->type == SCHEMA_GROUP;
    if (!is_message && f->type != SCHEMA_ENUM)
        return NULL;
    const char *name = proto->type_name;
    if (!name || *name != '.')
        return "its type has no full name";
    size_t length = strlen(name + 1);
    if (is_message)
        f->message = names_find(&b->messages, name + 1, length);
    else
        f->enumeration = names_find(&b->enums, name + 1, length);
    return f->message || f->enumeration ? NULL : "its type is in none of the files";
}

static const char *make_field(struct schema_build *b, const struct schema_message *m,
                              const field_proto *proto, struct schema_field *f)
{
    const char *problem = check_field(proto, m->proto);
    if (problem)
        return problem;
    const char *oneof = proto->has_oneof_index ? m->proto->oneof_decl[proto->oneof_index]->name : NULL;
    bool is_optional = proto->has_proto3_optional && proto->proto3_optional;
    *f = (struct schema_field){
        .name = proto->name,
        .json_name =
            proto->json_name && *proto->json_name ? proto->json_name : make_json_name(b, proto->name),
        .parent = m,
        .number = (uint32_t)proto->number,
        .type = (enum schema_type)proto->type,
        .oneof = is_optional ? NULL : oneof,
        .in_oneof = oneof,
        .group = oneof ? (size_t)proto->oneof_index : 0,
        .is_repeated = proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED,
        .is_required = proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED,
    };
    if (!f->json_name)
        return "too many or too long names";
    bool is_message = f->type == SCHEMA_MESSAGE || f->type == SCHEMA_GROUP;
    bool says_packed = proto->options && proto->options->has_packed;
    bool wants_packed = says_packed ? proto->options->packed : m->file->is_proto3;
    f->is_packed = f->is_repeated && wants_packed && can_be_packed(f->type);
    f->has_presence = !f->is_repeated && (is_message || oneof || is_optional || !m->file->is_proto3);
    return resolve(b, f, proto);
}

static int compare_fields(const void *a, const void *b)
{
    uint32_t x = ((const struct schema_field *)a)->number, y = ((const struct schema_field *)b)->number;
    return (x > y) - (x < y);
}

// The members of a oneof become one group; until here a field's group is the index of its oneof.
static void group_fields(struct schema_message *m)
{
    size_t *first = mem_alloc(m->proto->n_oneof_decl * sizeof *first);
    for (size_t i = 0; i < m->proto->n_oneof_decl; i++)
        first[i] = SIZE_MAX;
    for (size_t i = 0; i < m->field_count; i++) {
        struct schema_field *f = &m->fields[i];
        size_t *group = f->oneof ? &first[f->group] : &f->group;
        if (!f->oneof || *group == SIZE_MAX)
            *group = i;
        f->group = *group;
    }
    free(first);
}

// ---- messages

static int name_fields(struct schema_build *b, struct schema_message *m, struct nrpc_status *st)
{
    names_init(&b->made, &m->names, 2 * m->field_count);
    for (size_t i = 0; i < m->field_count; i++) {
        const struct schema_field *f = &m->fields[i];
        if (i > 0 && m->fields[i - 1].number == f->number)
            return fail(st, m->full_name, f->name, "its number is another field's too");
        names_add(&m->names, f->name, f);
        if (strcmp(f->name, f->json_name))
            names_add(&m->names, f->json_name, f);
    }
    const char *twice = names_sort(&m->names);
    return twice ? fail(st, m->full_name, twice, "two fields have this name") : NRPC_OK;
}

static int make_fields(struct schema_build *b, struct schema_message *m, struct nrpc_status *st)
{
    m->is_map_entry = m->proto->options && m->proto->options->has_map_entry && m->proto->options->map_entry;
    m->field_count = m->proto->n_field;
    m->fields = arena_calloc(&b->made, m->field_count * sizeof *m->fields);
    for (size_t i = 0; i < m->field_count; i++) {
        const field_proto *proto = m->proto->field[i];
        const char *problem = make_field(b, m, proto, &m->fields[i]);
        if (problem)
            return fail(st, m->full_name, proto->name ? proto->name : "", problem);
    }
    if (m->field_count > 0)
        qsort(m->fields, m->field_count, sizeof *m->fields, compare_fields);
    group_fields(m);
    return name_fields(b, m, st);
}

static bool can_be_key(enum schema_type type)
{
    return type == SCHEMA_STRING ||
           (can_be_packed(type) && type != SCHEMA_DOUBLE && type != SCHEMA_FLOAT && type != SCHEMA_ENUM);
}

static bool is_entry(const struct schema_message *m)
{
    const struct schema_field *f = m->fields;
    return m->field_count == 2 && f[0].number == 1 && f[1].number == 2 && !f[0].is_repeated &&
           !f[1].is_repeated && can_be_key(f[0].type) && f[1].type != SCHEMA_GROUP && !f[1].oneof &&
           !f[0].oneof;
}

static int link_maps(struct schema_message *m, struct nrpc_status *st)
{
    for (size_t i = 0; i < m->field_count; i++) {
        struct schema_field *f = &m->fields[i];
        if (!f->message || !f->message->is_map_entry)
            continue;
        if (!f->is_repeated || !is_entry(f->message))
            return fail(st, m->full_name, f->name, "this is no proper map");
        f->is_map = true;
    }
    return NRPC_OK;
}

static int link_special(struct schema_message *m, struct nrpc_status *st)
{
    for (size_t i = 0; i < sizeof special_fields / sizeof *special_fields; i++) {
        const struct special_field *s = &special_fields[i];
        if (strcmp(s->message, m->full_name))
            continue;
        const struct schema_field *f = schema_field(m, s->number);
        const char *refers_to = f && f->message ? f->message->full_name : "";
        if (!f || f->type != s->type || f->is_repeated != s->is_repeated ||
            strcmp(refers_to, s->refers_to ? s->refers_to : ""))
            return fail(st, m->full_name, "", "this is not the message that google defines");
        m->special = s->special;
    }
    return NRPC_OK;
}

// ---- enums, services

static int compare_values(const void *a, const void *b)
{
    const struct schema_value *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int link_enum(struct schema_build *b, struct schema_enum *e, struct nrpc_status *st)
{
    e->value_count = e->proto->n_value;
    e->values = arena_calloc(&b->made, e->value_count * sizeof *e->values);
    e->is_null_value = strcmp(e->full_name, "google.protobuf.NullValue") == 0;
    for (size_t i = 0; i < e->value_count; i++) {
        e->values[i].name = e->proto->value[i]->name;
        e->values[i].number = e->proto->value[i]->number;
        if (!e->values[i].name || !*e->values[i].name || !e->proto->value[i]->has_number)
            return fail(st, e->full_name, "", "a value has no name or no number");
    }
    if (e->value_count == 0)
        return fail(st, e->full_name, "", "it has no values");
    qsort(e->values, e->value_count, sizeof *e->values, compare_values);
    names_init(&b->made, &e->names, e->value_count);
    for (size_t i = 0; i < e->value_count; i++)
        names_add(&e->names, e->values[i].name, &e->values[i]);
    const char *twice = names_sort(&e->names);
    return twice ? fail(st, e->full_name, twice, "two values have this name") : NRPC_OK;
}

static const struct schema_message *find_message(const struct schema_build *b, const char *name)
{
    return name && *name == '.' ? names_find(&b->messages, name + 1, strlen(name + 1)) : NULL;
}

static int link_service(const struct schema_build *b, const struct schema_service *s,
                        const service_proto *proto, struct nrpc_status *st)
{
    for (size_t i = 0; i < s->method_count; i++) {
        struct schema_method *m = &s->methods[i];
        m->input = find_message(b, proto->method[i]->input_type);
        m->output = find_message(b, proto->method[i]->output_type);
        m->client_streaming = proto->method[i]->has_client_streaming && proto->method[i]->client_streaming;
        m->server_streaming = proto->method[i]->has_server_streaming && proto->method[i]->server_streaming;
        if (!m->input || !m->output)
            return fail(st, s->full_name, m->name, "its request or response is in none of the files");
    }
    return NRPC_OK;
}

// ----

static int link_messages(struct schema_build *b, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < b->all.message_count && !code; i++)
        code = make_fields(b, &b->all.messages[i], st);
    for (size_t i = 0; i < b->all.message_count && !code; i++)
        if (!(code = link_maps(&b->all.messages[i], st)))
            code = link_special(&b->all.messages[i], st);
    return code;
}

int schema_link(struct schema_build *b, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < b->all.enum_count && !code; i++)
        code = link_enum(b, &b->all.enums[i], st);
    if (!code)
        code = link_messages(b, st);
    struct schema_service *s = b->all.services;
    for (size_t i = 0; i < b->all.file_count && !code; i++)
        for (size_t k = 0; k < b->all.files[i].proto->n_service && !code; k++)
            code = link_service(b, s++, b->all.files[i].proto->service[k], st);
    return code;
}
