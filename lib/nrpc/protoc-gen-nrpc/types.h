// SPDX-License-Identifier: Apache-2.0
// types.h: what protobuf-c calls a message in C.
#ifndef PROTOC_GEN_NRPC_TYPES_H
#define PROTOC_GEN_NRPC_TYPES_H

#include "request.h"

struct type_names {
    const char *type;       // "Dtf__V1__CreateRequest"
    const char *descriptor; // "dtf__v1__create_request__descriptor"
};

// name: as method descriptors give it, ".dtf.v1.CreateRequest". Follows the option (pb_c_file).c_package of
// the file that defines the message.
struct type_names types_find(struct arena *a, const code_request *request, const char *name);

#endif
