// SPDX-License-Identifier: Apache-2.0
// schema_build.h: a schema while it is built: what schema.c, schema_collect.c and schema_link.c share.
//
// schema_create reads the descriptors; collecting gives every definition its place and full name; linking
// checks each and connects it with what it refers to.
#ifndef NRPC_JSON_SCHEMA_BUILD_H
#define NRPC_JSON_SCHEMA_BUILD_H

#include "base/mem.h"
#include "nrpc/json/schema.h"

#include <google/protobuf/descriptor.pb-c.h>

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;

struct schema_build {
    struct schema all; // first: what the world sees of it
    struct arena read; // what was read, and names: with a budget
    struct arena made; // tables; their sizes follow from what was read
    struct schema_names messages, enums, services;
};

// Both return a code. `collect` has set full_name, schema, file and proto of everything when it succeeds.
int schema_collect(struct schema_build *b, struct nrpc_status *st);
int schema_link(struct schema_build *b, struct nrpc_status *st);

// An array without content for `count` items, and its end: what two of one name are called.
void names_init(struct arena *a, struct schema_names *names, size_t count);
void names_add(struct schema_names *names, const char *name, const void *item);
const char *names_sort(struct schema_names *names); // returns a name that was added twice; NULL: none
const void *names_find(const struct schema_names *names, const char *name, size_t length);

#endif
