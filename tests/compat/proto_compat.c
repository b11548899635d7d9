// SPDX-License-Identifier: Apache-2.0
// proto_compat.c: proto_compat OLD NEW lists what a program built from the .proto files of OLD would misread
// of one built from those of NEW, or the other way round. Both are serialized FileDescriptorSets with all
// imports.
//
// The rules are those of "buf breaking" in its category WIRE, and that names of packages, messages, enums,
// services and methods stay. A line each: the file, the full name, what has changed. Exit code 0: nothing; 1:
// something; 2: an input cannot be read.
#include "base/mem.h"
#include "nrpc/json/schema.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTHING_BROKEN, SOMETHING_BROKEN, UNREADABLE };

static size_t break_count;

static void broken(const struct schema_file *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void broken(const struct schema_file *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s: ", file->name);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    break_count++;
}

// ---- numbers that must not be used again

struct range {
    int64_t first, last;
};

struct ranges {
    struct range *at; // by first
    size_t count;
};

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static struct ranges reserved_of_message(const struct schema_message *m)
{
    size_t count = m->proto->n_reserved_range;
    struct ranges out = {mem_calloc(count, sizeof *out.at), count};
    for (size_t i = 0; i < count; i++) {
        const Google__Protobuf__DescriptorProto__ReservedRange *r = m->proto->reserved_range[i];
        out.at[i] = (struct range){r->start, (int64_t)r->end - 1};
    }
    qsort(out.at, count, sizeof *out.at, compare_ranges);
    return out;
}

static struct ranges reserved_of_enum(const struct schema_enum *e)
{
    size_t count = e->proto->n_reserved_range;
    struct ranges out = {mem_calloc(count, sizeof *out.at), count};
    for (size_t i = 0; i < count; i++)
        out.at[i] = (struct range){e->proto->reserved_range[i]->start, e->proto->reserved_range[i]->end};
    qsort(out.at, count, sizeof *out.at, compare_ranges);
    return out;
}

static bool is_reserved(const struct ranges *ranges, int64_t first, int64_t last)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (ranges->at[i].first <= first && ranges->at[i].last >= first)
            first = ranges->at[i].last + 1;
    return first > last;
}

static void compare_reserved(const struct schema_file *file, const char *name, const struct ranges *old,
                             const struct ranges *now)
{
    for (size_t i = 0; i < old->count; i++)
        if (!is_reserved(now, old->at[i].first, old->at[i].last))
            broken(file, "%s: %lld to %lld are no longer reserved", name, (long long)old->at[i].first,
                   (long long)old->at[i].last);
}

// ---- types

// Types that read one another's bytes; those of class 0 only their own.
static const int wire_classes[] = {
    [SCHEMA_INT32] = 1,    [SCHEMA_INT64] = 1,   [SCHEMA_UINT32] = 1,   [SCHEMA_UINT64] = 1,
    [SCHEMA_BOOL] = 1,     [SCHEMA_SINT32] = 2,  [SCHEMA_SINT64] = 2,   [SCHEMA_FIXED32] = 3,
    [SCHEMA_SFIXED32] = 3, [SCHEMA_FIXED64] = 4, [SCHEMA_SFIXED64] = 4,
};

static const char *type_name(const struct schema_field *f)
{
    if (f->is_map)
        return "map";
    if (f->message)
        return f->message->full_name;
    return f->enumeration ? f->enumeration->full_name : schema_type_name(f->type);
}

static const char *last_part(const char *full_name)
{
    const char *dot = strrchr(full_name, '.');
    return dot ? dot + 1 : full_name;
}

static bool has_all_values(const struct schema_enum *e, const struct schema_enum *of)
{
    for (size_t i = 0; i < of->value_count; i++)
        if (!schema_value(e, of->values[i].number))
            return false;
    return true;
}

// An enum may be replaced by one elsewhere that has its name and at least its values.
static bool is_compatible_enum(const struct schema_enum *old, const struct schema_enum *now)
{
    if (strcmp(old->full_name, now->full_name) == 0)
        return true;
    return strcmp(last_part(old->full_name), last_part(now->full_name)) == 0 && has_all_values(now, old);
}

static bool is_same_type(const struct schema_field *old, const struct schema_field *now)
{
    return old->type == now->type && old->is_map == now->is_map &&
           strcmp(type_name(old), type_name(now)) == 0;
}

static bool is_compatible_type(const struct schema_field *old, const struct schema_field *now)
{
    if (old->enumeration && now->enumeration)
        return is_compatible_enum(old->enumeration, now->enumeration);
    if (old->type == SCHEMA_STRING && now->type == SCHEMA_BYTES)
        return true;
    return is_same_type(old, now) ||
           (wire_classes[old->type] && wire_classes[old->type] == wire_classes[now->type]);
}

// ---- messages

static const char *label_of(const struct schema_field *f)
{
    return f->is_repeated ? "repeated" : f->is_required ? "required" : "singular";
}

static void compare_field(const struct schema_field *old, const struct schema_field *now)
{
    const struct schema_message *m = old->parent;
    const char *was = old->oneof ? old->oneof : "none", *is = now->oneof ? now->oneof : "none";
    for (int i = 0; i < 2 && old->is_map && now->is_map; i++) // key and value
        compare_field(&old->message->fields[i], &now->message->fields[i]);
    if (strcmp(old->name, now->name) && !is_same_type(old, now))
        broken(m->file, "%s.%s: number %u is used again, for %s %s", m->full_name, old->name, old->number,
               type_name(now), now->name);
    else if (!is_compatible_type(old, now))
        broken(m->file, "%s.%s: type changed from %s to %s", m->full_name, old->name, type_name(old),
               type_name(now));
    if (strcmp(label_of(old), label_of(now)))
        broken(m->file, "%s.%s: label changed from %s to %s", m->full_name, old->name, label_of(old),
               label_of(now));
    if (strcmp(was, is))
        broken(m->file, "%s.%s: oneof changed from %s to %s", m->full_name, old->name, was, is);
}

static void compare_message(const struct schema_message *old, const struct schema_message *now)
{
    struct ranges was = reserved_of_message(old), is = reserved_of_message(now);
    for (size_t i = 0; i < old->field_count; i++) {
        const struct schema_field *f = &old->fields[i], *g = schema_field(now, f->number);
        if (g)
            compare_field(f, g);
        else if (!is_reserved(&is, f->number, f->number))
            broken(old->file, "%s.%s: removed, and number %u is not reserved", old->full_name, f->name,
                   f->number);
    }
    compare_reserved(old->file, old->full_name, &was, &is);
    free(was.at);
    free(is.at);
}

// ---- enums

static void compare_enum(const struct schema_enum *old, const struct schema_enum *now)
{
    struct ranges was = reserved_of_enum(old), is = reserved_of_enum(now);
    for (size_t i = 0; i < old->value_count; i++) {
        const struct schema_value *v = &old->values[i];
        if (!schema_value(now, v->number) && !is_reserved(&is, v->number, v->number))
            broken(old->file, "%s.%s: removed, and number %d is not reserved", old->full_name, v->name,
                   v->number);
    }
    compare_reserved(old->file, old->full_name, &was, &is);
    free(was.at);
    free(is.at);
}

// ---- services

static void compare_type(const struct schema_service *s, const struct schema_method *m, const char *what,
                         const struct schema_message *old, const struct schema_message *now)
{
    if (strcmp(old->full_name, now->full_name))
        broken(s->file, "%s.%s: %s changed from %s to %s", s->full_name, m->name, what, old->full_name,
               now->full_name);
}

static void compare_streaming(const struct schema_service *s, const struct schema_method *m, const char *what,
                              bool old, bool now)
{
    if (old != now)
        broken(s->file, "%s.%s: the %s %s", s->full_name, m->name, what,
               now ? "became a stream" : "is no longer a stream");
}

static const struct schema_method *find_method(const struct schema_service *s, const char *name)
{
    for (size_t i = 0; i < s->method_count; i++)
        if (strcmp(s->methods[i].name, name) == 0)
            return &s->methods[i];
    return NULL;
}

static void compare_service(const struct schema_service *old, const struct schema_service *now)
{
    for (size_t i = 0; i < old->method_count; i++) {
        const struct schema_method *m = &old->methods[i], *n = find_method(now, m->name);
        if (!n) {
            broken(old->file, "%s.%s: method removed", old->full_name, m->name);
            continue;
        }
        compare_type(old, m, "request", m->input, n->input);
        compare_type(old, m, "response", m->output, n->output);
        compare_streaming(old, m, "request", m->client_streaming, n->client_streaming);
        compare_streaming(old, m, "response", m->server_streaming, n->server_streaming);
    }
}

// ---- all

// Whether the file has another package now; all its names are others then, and that is said once.
static bool has_moved(const struct schema_file *file, const struct schema *now)
{
    for (size_t i = 0; i < now->file_count; i++)
        if (strcmp(now->files[i].name, file->name) == 0)
            return strcmp(now->files[i].package, file->package) != 0;
    return false;
}

static void compare_packages(const struct schema *old, const struct schema *now)
{
    for (size_t i = 0; i < old->file_count; i++)
        if (has_moved(&old->files[i], now))
            broken(&old->files[i], "%s: package changed", old->files[i].package);
}

static void compare_all(const struct schema *old, const struct schema *now)
{
    compare_packages(old, now);
    for (size_t i = 0; i < old->message_count; i++) {
        const struct schema_message *m = &old->messages[i], *n = schema_message(now, m->full_name);
        if (m->is_map_entry) // its map is looked at
            continue;
        if (n)
            compare_message(m, n);
        else if (!has_moved(m->file, now))
            broken(m->file, "%s: message removed", m->full_name);
    }
    for (size_t i = 0; i < old->enum_count; i++) {
        const struct schema_enum *e = &old->enums[i], *n = schema_enum(now, e->full_name);
        if (n)
            compare_enum(e, n);
        else if (!has_moved(e->file, now))
            broken(e->file, "%s: enum removed", e->full_name);
    }
    for (size_t i = 0; i < old->service_count; i++) {
        const struct schema_service *s = &old->services[i], *n = schema_service(now, s->full_name);
        if (n)
            compare_service(s, n);
        else if (!has_moved(s->file, now))
            broken(s->file, "%s: service removed", s->full_name);
    }
}

static struct schema *read_schema(const char *path)
{
    struct nrpc_status st;
    struct schema *schema = NULL;
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return NULL;
    }
    uint8_t *data = mem_alloc(SCHEMA_BYTES_MAX + 1);
    size_t size = fread(data, 1, SCHEMA_BYTES_MAX + 1, f);
    fclose(f);
    if (schema_create_from_set(data, size, &schema, &st))
        fprintf(stderr, "%s: %s\n", path, st.text);
    free(data);
    return schema;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: proto_compat OLD NEW\n");
        return UNREADABLE;
    }
    struct schema *old = read_schema(argv[1]), *now = read_schema(argv[2]);
    int result = UNREADABLE;
    if (old && now) {
        compare_all(old, now);
        result = break_count > 0 ? SOMETHING_BROKEN : NOTHING_BROKEN;
    }
    schema_destroy(old);
    schema_destroy(now);
    return result;
}
