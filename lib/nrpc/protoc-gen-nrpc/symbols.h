// SPDX-License-Identifier: Apache-2.0
// symbols.h: all names that the generated C of a request will have, to find two that are the same.
#ifndef PROTOC_GEN_NRPC_SYMBOLS_H
#define PROTOC_GEN_NRPC_SYMBOLS_H

#include "place.h"

#include <stdbool.h>

struct symbol {
    const char *scope; // the struct that the name is a member of; empty: the whole file
    const char *name;
    const char *owner; // full name in the .proto file
    struct place place;
    size_t order; // of adding
};

struct symbols {
    struct arena *arena;
    struct symbol *at;
    size_t count, capacity;
};

void symbols_init(struct symbols *symbols, struct arena *a);
void symbols_fini(struct symbols *symbols);

void symbols_add(struct symbols *symbols, const char *name, const char *owner, struct place place);

// The names that protobuf-c makes of the file's messages, enums, oneofs and fields.
void symbols_add_messages(struct symbols *symbols, const file_proto *file);

// An error for the first name that was added before by another owner, or that is a word of C; NULL: there is
// none.
const char *symbols_refuse(struct symbols *symbols);

#endif
