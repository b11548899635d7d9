// SPDX-License-Identifier: Apache-2.0
// place.h: where something stands in a .proto file: for errors, and for the comment in front of it.
#ifndef PROTOC_GEN_NRPC_PLACE_H
#define PROTOC_GEN_NRPC_PLACE_H

#include "request.h"

struct place {
    const file_proto *file;
    const int32_t *path; // as in SourceCodeInfo: field number, index, field number, index ...
    size_t length;
};

// Field numbers of descriptor.proto, for paths.
enum {
    PLACE_FILE_MESSAGE = 4,
    PLACE_FILE_ENUM = 5,
    PLACE_FILE_SERVICE = 6,
    PLACE_MESSAGE_FIELD = 2,
    PLACE_MESSAGE_NESTED = 3,
    PLACE_MESSAGE_ENUM = 4,
    PLACE_MESSAGE_ONEOF = 8,
    PLACE_SERVICE_METHOD = 2,
    PLACE_ENUM_VALUE = 2,
};

// Entry `index` of the repeated field `number` of what stands at outer.
struct place place_in(struct arena *a, struct place outer, int32_t number, size_t index);

// The comment in front of it; NULL when there is none.
const char *place_comment(struct place place);

// "<file>:<line>:<column>: <sentence>", or without the numbers if they are not known.
const char *place_error(struct arena *a, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
