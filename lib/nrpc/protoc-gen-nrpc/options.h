// SPDX-License-Identifier: Apache-2.0
// options.h: the options that count for us: nrpc's own (proto/nrpc/v1/options.proto), protobuf-c's, and
// protoc's idempotency_level.
//
// Descriptors are read with protobuf-c, which knows no extensions: they are among a message's unknown fields.
#ifndef PROTOC_GEN_NRPC_OPTIONS_H
#define PROTOC_GEN_NRPC_OPTIONS_H

#include "request.h"

#include <stdbool.h>

// (pb_c_file).c_package; NULL when the file sets none. An empty one counts: it removes the package.
const char *options_c_package(struct arena *a, const file_proto *file);

// What protobuf-c calls the ProtobufCMessage in a message's struct: "base", or (pb_c_msg).base_field_name.
const char *options_base_member(struct arena *a, const message_proto *message);

// (nrpc.v1.roles) of the method; of a method without, (nrpc.v1.service_roles) of its service. NULL at the
// end.
const char *const *options_roles(struct arena *a, const service_proto *service, const method_proto *method);

bool options_is_idempotent(const method_proto *method);

#endif
