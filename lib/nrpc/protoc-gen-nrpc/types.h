// SPDX-License-Identifier: Apache-2.0
// types.h: all messages of a request, what protobuf-c calls them in C, and how deep they nest.
#ifndef PROTOC_GEN_NRPC_TYPES_H
#define PROTOC_GEN_NRPC_TYPES_H

#include "request.h"

struct type {
    const char *name;       // as other descriptors name it: ".dtf.v1.CreateRequest"
    const char *c_name;     // what protobuf-c makes its names from: the same but for (pb_c_file).c_package
    const char *type;       // "Dtf__V1__CreateRequest"
    const char *descriptor; // "dtf__v1__create_request__descriptor"
    const message_proto *message;
    int height; // how many messages can be in one another, this one included; see types_measure
};

struct types {
    struct type *at; // by name
    size_t count;
};

const struct types *types_create(struct arena *a, const code_request *request);

// The full name that protobuf-c sees of something directly in the file.
const char *types_c_name(struct arena *a, const file_proto *file, const char *name);

// NULL: there is none of this name.
struct type *types_find(const struct types *types, const char *name);

// NULL when the type nests at most TYPES_HEIGHT_MAX messages deep; else why not: "bad.Node contains itself".
// What is sent must keep to that: protobuf-c's unpacker calls itself for a message in a message and has no
// limit of its own, so that a message that contains itself would let a peer use up the stack.
enum { TYPES_HEIGHT_MAX = 100 };
const char *types_measure(struct arena *a, const struct types *types, struct type *type);

#endif
