// SPDX-License-Identifier: Apache-2.0
// scalar.h: protobuf's numbers and bools: their bits on the wire, their text in JSON.
//
// A value is 64 bits: an integer (sign-extended), a bool's 0 or 1, a double's or a float's bits. So zero, and
// only zero, is 0 (and -0.0 is not).
#ifndef NRPC_JSON_SCALAR_H
#define NRPC_JSON_SCALAR_H

#include "nrpc/json/pbwire.h"
#include "nrpc/json/schema.h"

#include <jansson.h>

enum { SCALAR_TEXT_MAX = 40 };

enum scalar_result {
    SCALAR_OK,
    SCALAR_WRONG, // not of this type
    SCALAR_RANGE, // the type does not reach that far
};

// How it is on the wire; of every type: PBWIRE_BYTES for strings, bytes and messages.
enum pbwire_type scalar_wire(enum schema_type type);

uint64_t scalar_from_wire(enum schema_type type, uint64_t bits);
uint64_t scalar_to_wire(enum schema_type type, uint64_t value);

// out has room for SCALAR_TEXT_MAX. Returns whether JSON puts it in quotes.
bool scalar_print(enum schema_type type, uint64_t value, char *out);

enum scalar_result scalar_parse(enum schema_type type, const json_t *json, uint64_t *value);
enum scalar_result scalar_parse_key(enum schema_type type, const char *text, uint64_t *value); // of a map

#endif
