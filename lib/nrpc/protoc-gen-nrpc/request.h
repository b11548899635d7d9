// SPDX-License-Identifier: Apache-2.0
// request.h: what protoc asks of a plugin, read from its standard input and checked.
#ifndef PROTOC_GEN_NRPC_REQUEST_H
#define PROTOC_GEN_NRPC_REQUEST_H

#include "base/mem.h"

#include <google/protobuf/compiler/plugin.pb-c.h>
#include <stdio.h>

typedef Google__Protobuf__Compiler__CodeGeneratorRequest code_request;
typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;
typedef Google__Protobuf__MethodDescriptorProto method_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;

// Reads and unpacks a request, which lives in the arena. Every file to generate is in it, and every import;
// all that should have a name has one. NULL when the input is no such request; *problem then says why.
const code_request *request_read(FILE *in, struct arena *a, const char **problem);

// The file of this name; NULL if the request has none.
const file_proto *request_file(const code_request *request, const char *name);

// What oneof `index` of the message is called in C. The one that protoc made up for a proto3 `optional x` is
// has_x.
const char *request_oneof_name(struct arena *a, const message_proto *message, size_t index);

#endif
