// SPDX-License-Identifier: Apache-2.0
// proto_text.c: from descriptors back to their source. Names were checked when the schema was built.
#include "proto_text.h"

#include "base/mem.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__MethodOptions method_options;

static const char *last_part(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot ? dot + 1 : full_name;
}

static void indent(FILE *f, int depth)
{
    fprintf(f, "%*s", 2 * depth, "");
}

// ---- enums

static void print_enum(FILE *f, const enum_proto *e, int depth)
{
    indent(f, depth);
    fprintf(f, "enum %s {\n", e->name);
    if (e->options && e->options->allow_alias) {
        indent(f, depth + 1);
        fputs("option allow_alias = true;\n", f);
    }
    for (size_t i = 0; i < e->n_value; i++) {
        indent(f, depth + 1);
        fprintf(f, "%s = %d;\n", e->value[i]->name, e->value[i]->number);
    }
    indent(f, depth);
    fputs("}\n", f);
}

void proto_text_enum(FILE *f, const struct schema_enum *e)
{
    print_enum(f, e->proto, 0);
}

// ---- messages

static const char *type_name(const struct schema_field *field)
{
    if (field->message)
        return field->message->full_name;
    return field->enumeration ? field->enumeration->full_name : schema_type_name(field->type);
}

static const char *label(const struct schema_field *field)
{
    if (field->is_repeated)
        return "repeated ";
    if (field->is_required)
        return "required ";
    bool is_optional = field->parent->file->is_proto3 ? field->in_oneof != NULL : true;
    return is_optional && !field->oneof ? "optional " : "";
}

static void print_field(FILE *f, const struct schema_field *field, int depth)
{
    indent(f, depth);
    if (field->is_map)
        fprintf(f, "map<%s, %s>", type_name(&field->message->fields[0]),
                type_name(&field->message->fields[1]));
    else
        fprintf(f, "%s%s", label(field), type_name(field));
    fprintf(f, " %s = %u;\n", field->name, field->number);
}

static int by_place(const void *a, const void *b)
{
    const struct schema_field *x = *(const struct schema_field *const *)a;
    const struct schema_field *y = *(const struct schema_field *const *)b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

// By number; a oneof's members together where the first of them is.
static void print_fields(FILE *f, const struct schema_message *m, int depth)
{
    const struct schema_field **sorted = mem_calloc(m->field_count, sizeof(struct schema_field *));
    for (size_t i = 0; i < m->field_count; i++)
        sorted[i] = &m->fields[i];
    qsort(sorted, m->field_count, sizeof(struct schema_field *), by_place);
    for (size_t i = 0; i < m->field_count; i++) {
        const char *oneof = sorted[i]->oneof;
        if (oneof && (i == 0 || sorted[i - 1]->oneof != oneof)) {
            indent(f, depth);
            fprintf(f, "oneof %s {\n", oneof);
        }
        print_field(f, sorted[i], depth + (oneof != NULL));
        if (oneof && (i + 1 == m->field_count || sorted[i + 1]->oneof != oneof)) {
            indent(f, depth);
            fputs("}\n", f);
        }
    }
    free(sorted);
}

static void print_message(FILE *f, const struct schema_message *m, int depth)
{
    char name[SCHEMA_NAME_MAX + 1];
    indent(f, depth);
    fprintf(f, "message %s {\n", last_part(m->full_name));
    for (size_t i = 0; i < m->proto->n_enum_type; i++)
        print_enum(f, m->proto->enum_type[i], depth + 1);
    for (size_t i = 0; i < m->proto->n_nested_type; i++) {
        snprintf(name, sizeof name, "%s.%s", m->full_name, m->proto->nested_type[i]->name);
        const struct schema_message *inner = schema_message(m->schema, name);
        if (inner && !inner->is_map_entry)
            print_message(f, inner, depth + 1);
    }
    print_fields(f, m, depth + 1);
    indent(f, depth);
    fputs("}\n", f);
}

void proto_text_message(FILE *f, const struct schema_message *m)
{
    print_message(f, m, 0);
}

// ---- services

static const char *idempotency(const struct schema_service *s, size_t method)
{
    const Google__Protobuf__FileDescriptorProto *file = s->file->proto;
    for (size_t i = 0; i < file->n_service; i++) {
        if (strcmp(file->service[i]->name, last_part(s->full_name)) != 0)
            continue;
        const method_options *o = file->service[i]->method[method]->options;
        if (o && o->idempotency_level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS)
            return "NO_SIDE_EFFECTS";
        if (o && o->idempotency_level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENT)
            return "IDEMPOTENT";
    }
    return NULL;
}

static void print_method(FILE *f, const struct schema_service *s, const struct schema_method *m, int depth)
{
    const char *level = idempotency(s, (size_t)(m - s->methods));
    indent(f, depth);
    fprintf(f, "rpc %s(%s%s) returns (%s%s)", m->name, m->client_streaming ? "stream " : "",
            m->input->full_name, m->server_streaming ? "stream " : "", m->output->full_name);
    if (!level) {
        fputs(";\n", f);
        return;
    }
    fputs(" {\n", f);
    indent(f, depth + 1);
    fprintf(f, "option idempotency_level = %s;\n", level);
    indent(f, depth);
    fputs("}\n", f);
}

void proto_text_method(FILE *f, const struct schema_service *s, const struct schema_method *m)
{
    print_method(f, s, m, 0);
}

void proto_text_service(FILE *f, const struct schema_service *s)
{
    fprintf(f, "service %s {\n", last_part(s->full_name));
    for (size_t i = 0; i < s->method_count; i++)
        print_method(f, s, &s->methods[i], 1);
    fputs("}\n", f);
}
