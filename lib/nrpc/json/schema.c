// SPDX-License-Identifier: Apache-2.0
// schema.c: reads descriptors into a schema, and looks things up in it.
#include "nrpc/json/schema.h"

#include "nrpc/json/pbwire.h"
#include "nrpc/json/schema_build.h"

#include <stdlib.h>
#include <string.h>

enum {
    NESTING_MAX = 100,  // protoc's own limit; protobuf-c has none and would run out of stack
    MEMORY_FACTOR = 40, // of the bytes given; honest descriptors take about ten
    MEMORY_LEAST = 1 << 16,
    SET_FILE = 1, // FileDescriptorSet.file
};

// ---- reading

// Whether a packed message is sound on the outside and nests no deeper than `levels` more.
static bool is_shallow(struct pbwire_reader r, const ProtobufCMessageDescriptor *type, int levels)
{
    struct pbwire_field field;
    while (pbwire_next(&r, &field)) {
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(type, (unsigned)field.number);
        if (field.type != PBWIRE_BYTES || !known || known->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (levels == 0 || !is_shallow(pbwire_reader(field.data, field.size), known->descriptor, levels - 1))
            return false;
    }
    return r.at == r.end;
}

struct read_file { // a file, and what it was read from
    struct schema_file file;
    ProtobufCBinaryData bytes;
};

static int read_file(struct schema_build *b, const ProtobufCBinaryData *bytes, struct read_file *out,
                     struct nrpc_status *st)
{
    const ProtobufCMessageDescriptor *type = &google__protobuf__file_descriptor_proto__descriptor;
    const file_proto *proto = NULL;
    if (is_shallow(pbwire_reader(bytes->data, bytes->len), type, NESTING_MAX))
        proto = google__protobuf__file_descriptor_proto__unpack(&b->read.allocator, bytes->len, bytes->data);
    if (!proto)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the descriptor of a .proto file cannot be read, or takes too much memory");
    if (!proto->name)
        return status_set(st, NRPC_INVALID_ARGUMENT, "the descriptor of a .proto file has no name");
    const char *syntax = proto->syntax && *proto->syntax ? proto->syntax : "proto2";
    bool is_proto3 = strcmp(syntax, "proto3") == 0;
    if (!is_proto3 && strcmp(syntax, "proto2"))
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "%.80s: its syntax \"%.40s\" is neither proto2 nor proto3", proto->name, syntax);
    *out = (struct read_file){
        .file = {.name = proto->name,
                 .package = proto->package ? proto->package : "",
                 .is_proto3 = is_proto3,
                 .proto = proto},
        .bytes = *bytes,
    };
    return NRPC_OK;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct read_file *)a)->file.name, ((const struct read_file *)b)->file.name);
}

static bool is_same(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

// Sorts the files by name and takes each once.
static int take_files(struct schema_build *b, struct read_file *files, size_t count, struct nrpc_status *st)
{
    b->all.files = arena_alloc(&b->made, count * sizeof *b->all.files);
    if (count > 0)
        qsort(files, count, sizeof *files, compare_files);
    for (size_t i = 0; i < count; i++) {
        bool is_again = i > 0 && compare_files(&files[i - 1], &files[i]) == 0;
        if (is_again && !is_same(&files[i - 1].bytes, &files[i].bytes))
            return status_set(st, NRPC_INVALID_ARGUMENT, "%.120s: there are two different files of this name",
                              files[i].file.name);
        if (!is_again)
            b->all.files[b->all.file_count++] = files[i].file;
    }
    return NRPC_OK;
}

static int read_files(struct schema_build *b, const ProtobufCBinaryData *files, size_t count,
                      struct nrpc_status *st)
{
    struct read_file *read = mem_calloc(count, sizeof *read);
    int code = NRPC_OK;
    for (size_t i = 0; i < count && !code; i++)
        code = read_file(b, &files[i], &read[i], st);
    if (!code)
        code = take_files(b, read, count, st);
    free(read);
    return code;
}

int schema_create(const ProtobufCBinaryData *files, size_t count, struct schema **out, struct nrpc_status *st)
{
    size_t size = 0;
    if (count == 0)
        return status_set(st, NRPC_INVALID_ARGUMENT, "there are no descriptors");
    for (size_t i = 0; i < count; i++) {
        if (files[i].len > SCHEMA_BYTES_MAX - size)
            return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the descriptors are larger than %d bytes",
                              SCHEMA_BYTES_MAX);
        size += files[i].len;
    }
    struct schema_build *b = mem_calloc(1, sizeof *b);
    arena_init(&b->read, MEMORY_LEAST + size * MEMORY_FACTOR);
    arena_init(&b->made, 0);
    int code = read_files(b, files, count, st);
    if (!code)
        code = schema_collect(b, st);
    if (!code)
        code = schema_link(b, st);
    if (code) {
        schema_destroy(&b->all);
        return code;
    }
    *out = &b->all;
    return status_ok(st);
}

int schema_create_from_set(const void *set, size_t size, struct schema **out, struct nrpc_status *st)
{
    if (size > SCHEMA_BYTES_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the descriptors are larger than %d bytes",
                          SCHEMA_BYTES_MAX);
    struct pbwire_reader r = pbwire_reader(set, size);
    struct pbwire_field field;
    ProtobufCBinaryData *files = NULL;
    size_t count = 0, capacity = 0;
    while (pbwire_next(&r, &field)) {
        if (field.number != SET_FILE || field.type != PBWIRE_BYTES)
            continue;
        mem_grow(&files, &capacity, count + 1, sizeof *files);
        files[count++] = (ProtobufCBinaryData){.len = field.size, .data = (uint8_t *)field.data};
    }
    int code = r.at == r.end ? schema_create(files, count, out, st)
                             : status_set(st, NRPC_INVALID_ARGUMENT, "this is no FileDescriptorSet");
    free(files);
    return code;
}

void schema_destroy(struct schema *s)
{
    if (!s)
        return;
    struct schema_build *b = (struct schema_build *)s;
    arena_fini(&b->read);
    arena_fini(&b->made);
    free(b);
}

// ---- tables of names

void names_init(struct arena *a, struct schema_names *names, size_t count)
{
    *names = (struct schema_names){.at = arena_alloc(a, count * sizeof *names->at)};
}

void names_add(struct schema_names *names, const char *name, const void *item)
{
    names->at[names->count++] = (struct schema_name){name, item};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct schema_name *)a)->name, ((const struct schema_name *)b)->name);
}

const char *names_sort(struct schema_names *names)
{
    if (names->count > 0)
        qsort(names->at, names->count, sizeof *names->at, compare_names);
    for (size_t i = 1; i < names->count; i++)
        if (compare_names(&names->at[i - 1], &names->at[i]) == 0)
            return names->at[i].name;
    return NULL;
}

const void *names_find(const struct schema_names *names, const char *name, size_t length)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *here = names->at[middle].name;
        int order = strncmp(here, name, length);
        if (order == 0 && here[length])
            order = 1;
        if (order == 0)
            return names->at[middle].item;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// ---- looking up

static const struct schema_build *build_of(const struct schema *s)
{
    return (const struct schema_build *)s;
}

const struct schema_message *schema_message(const struct schema *s, const char *full_name)
{
    return names_find(&build_of(s)->messages, full_name, strlen(full_name));
}

const struct schema_enum *schema_enum(const struct schema *s, const char *full_name)
{
    return names_find(&build_of(s)->enums, full_name, strlen(full_name));
}

const struct schema_service *schema_service(const struct schema *s, const char *full_name)
{
    return names_find(&build_of(s)->services, full_name, strlen(full_name));
}

const struct schema_method *schema_method(const struct schema *s, const char *full_name)
{
    const char *cut = strchr(full_name, '/');
    if (!cut)
        cut = strrchr(full_name, '.');
    if (!cut)
        return NULL;
    const struct schema_service *service =
        names_find(&build_of(s)->services, full_name, (size_t)(cut - full_name));
    for (size_t i = 0; service && i < service->method_count; i++)
        if (strcmp(service->methods[i].name, cut + 1) == 0)
            return &service->methods[i];
    return NULL;
}

static const char *const type_names[] = {
    [SCHEMA_DOUBLE] = "double",     [SCHEMA_FLOAT] = "float",     [SCHEMA_INT64] = "int64",
    [SCHEMA_UINT64] = "uint64",     [SCHEMA_INT32] = "int32",     [SCHEMA_FIXED64] = "fixed64",
    [SCHEMA_FIXED32] = "fixed32",   [SCHEMA_BOOL] = "bool",       [SCHEMA_STRING] = "string",
    [SCHEMA_GROUP] = "group",       [SCHEMA_MESSAGE] = "message", [SCHEMA_BYTES] = "bytes",
    [SCHEMA_UINT32] = "uint32",     [SCHEMA_ENUM] = "enum",       [SCHEMA_SFIXED32] = "sfixed32",
    [SCHEMA_SFIXED64] = "sfixed64", [SCHEMA_SINT32] = "sint32",   [SCHEMA_SINT64] = "sint64",
};

const char *schema_type_name(enum schema_type type)
{
    return type_names[type];
}

const struct schema_field *schema_field(const struct schema_message *m, uint32_t number)
{
    // Most messages number their fields from 1 without a gap.
    if (number - 1 < m->field_count && m->fields[number - 1].number == number)
        return &m->fields[number - 1];
    size_t low = 0, high = m->field_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->fields[middle].number == number)
            return &m->fields[middle];
        if (m->fields[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct schema_field *schema_field_named(const struct schema_message *m, const char *name)
{
    return names_find(&m->names, name, strlen(name));
}

const struct schema_value *schema_value(const struct schema_enum *e, int32_t number)
{
    size_t low = 0, high = e->value_count;
    while (low < high) { // the first that is not smaller
        size_t middle = low + (high - low) / 2;
        if (e->values[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->value_count && e->values[low].number == number ? &e->values[low] : NULL;
}

const struct schema_value *schema_value_named(const struct schema_enum *e, const char *name)
{
    return names_find(&e->names, name, strlen(name));
}
