// SPDX-License-Identifier: Apache-2.0
// schema.h: what messages, enums and services look like, known at run time from descriptors.
//
// A schema is built in one step from the descriptors of .proto files (proto2 and proto3), as `protoc
// --descriptor_set_out` writes them and as server reflection sends them, and never changes after: any number
// of threads may read it. Everything in it belongs to it and lives until schema_destroy.
//
// The descriptors may come from a stranger: what is inconsistent is refused with a sentence, and what is
// built is bounded by a multiple of what was given. Extensions are not looked at; "editions" are refused.
#ifndef NRPC_JSON_SCHEMA_H
#define NRPC_JSON_SCHEMA_H

#include "base/status.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SCHEMA_BYTES_MAX = 16 << 20, // of all descriptors together
    SCHEMA_NAME_MAX = 511,       // bytes of a full name
};

enum schema_type { // FieldDescriptorProto.Type
    SCHEMA_DOUBLE = 1,
    SCHEMA_FLOAT = 2,
    SCHEMA_INT64 = 3,
    SCHEMA_UINT64 = 4,
    SCHEMA_INT32 = 5,
    SCHEMA_FIXED64 = 6,
    SCHEMA_FIXED32 = 7,
    SCHEMA_BOOL = 8,
    SCHEMA_STRING = 9,
    SCHEMA_GROUP = 10,
    SCHEMA_MESSAGE = 11,
    SCHEMA_BYTES = 12,
    SCHEMA_UINT32 = 13,
    SCHEMA_ENUM = 14,
    SCHEMA_SFIXED32 = 15,
    SCHEMA_SFIXED64 = 16,
    SCHEMA_SINT32 = 17,
    SCHEMA_SINT64 = 18,
};

// Messages that have a JSON form of their own.
enum schema_special {
    SCHEMA_PLAIN,
    SCHEMA_ANY,
    SCHEMA_DURATION,
    SCHEMA_FIELD_MASK,
    SCHEMA_LIST_VALUE,
    SCHEMA_STRUCT,
    SCHEMA_TIMESTAMP,
    SCHEMA_VALUE,
    SCHEMA_WRAPPER,
};

// What is looked up by name, sorted by it.
struct schema_names {
    struct schema_name {
        const char *name;
        const void *item;
    } * at;
    size_t count;
};

struct schema_file {
    const char *name, *package; // package: may be ""
    bool is_proto3;
    const struct Google__Protobuf__FileDescriptorProto *proto; // <google/protobuf/descriptor.pb-c.h>
};

struct schema_field {
    const char *name, *json_name;
    const struct schema_message *parent;
    uint32_t number;
    enum schema_type type;
    const char *oneof; // its oneof's name, the same pointer for all members; NULL: none ("optional" is none)
    const char *in_oneof; // the same, but an "optional" field names the oneof that the compiler made for it
    size_t group;         // index in parent->fields of the first member of its oneof; without one, its own
    bool is_repeated, is_required;
    bool is_packed;    // how it is written; both forms are read
    bool is_map;       // `message` then is the entry: fields[0] the key, fields[1] the value
    bool has_presence; // set to zero differs from not set
    const struct schema_message *message; // of a message or group
    const struct schema_enum *enumeration;
};

struct schema_message {
    const char *full_name; // "dtf.v1.Task"
    const struct schema *schema;
    const struct schema_file *file;
    struct schema_field *fields; // by number
    size_t field_count;
    struct schema_names names; // of fields; both their names
    bool is_map_entry;
    enum schema_special special;
    const struct Google__Protobuf__DescriptorProto *proto;
};

struct schema_value {
    const char *name;
    int32_t number;
};

struct schema_enum {
    const char *full_name;
    const struct schema_file *file;
    struct schema_value *values; // by number; of aliases the first declared comes first
    size_t value_count;
    struct schema_names names;
    bool is_null_value; // google.protobuf.NullValue
    const struct Google__Protobuf__EnumDescriptorProto *proto;
};

struct schema_method {
    const char *name;
    const struct schema_message *input, *output;
    bool client_streaming, server_streaming;
};

struct schema_service {
    const char *full_name;
    const struct schema_file *file;
    struct schema_method *methods; // as declared
    size_t method_count;
};

struct schema {
    struct schema_file *files;       // by name
    struct schema_message *messages; // file by file as declared, like all that follows
    struct schema_enum *enums;
    struct schema_service *services;
    size_t file_count, message_count, enum_count, service_count;
};

// Builds a schema from serialized FileDescriptorProtos, in any order; a file that comes again with the same
// bytes is taken once. Types that are used must be among them, google's well-known ones too.
// The bytes are not needed afterwards.
// Errors: INVALID_ARGUMENT (no descriptors, inconsistent), RESOURCE_EXHAUSTED (too large).
int schema_create(const ProtobufCBinaryData *files, size_t count, struct schema **out,
                  struct nrpc_status *st);

// The same from one serialized FileDescriptorSet.
int schema_create_from_set(const void *set, size_t size, struct schema **out, struct nrpc_status *st);

void schema_destroy(struct schema *s); // NULL is fine

// NULL when there is none of this name. Full names have no dot in front.
const struct schema_message *schema_message(const struct schema *s, const char *full_name);
const struct schema_enum *schema_enum(const struct schema *s, const char *full_name);
const struct schema_service *schema_service(const struct schema *s, const char *full_name);

// By "pkg.Service/Method" or "pkg.Service.Method".
const struct schema_method *schema_method(const struct schema *s, const char *full_name);

const char *schema_type_name(enum schema_type type); // "int32", "message"

// Of one message or enum. A field has two names: "max_jobs" and, in JSON, "maxJobs".
const struct schema_field *schema_field(const struct schema_message *m, uint32_t number);
const struct schema_field *schema_field_named(const struct schema_message *m, const char *name);
const struct schema_value *schema_value(const struct schema_enum *e, int32_t number);
const struct schema_value *schema_value_named(const struct schema_enum *e, const char *name);

#endif
