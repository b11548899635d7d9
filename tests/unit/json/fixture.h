// SPDX-License-Identifier: Apache-2.0
// fixture.h: the schema of rich.proto and legacy.proto, and conversions that must succeed or must not.
#ifndef JSON_TEST_FIXTURE_H
#define JSON_TEST_FIXTURE_H

#include "nrpc/json/json.h"

extern struct schema *rich; // set by fixture_setup

int fixture_setup(void **state); // of a cmocka group
int fixture_teardown(void **state);

// The bytes of the descriptor set; free() them.
unsigned char *fixture_read_set(size_t *size);

const struct schema_message *fixture_type(const char *full_name);

// Bytes from "08 96 01"; out has room.
size_t fixture_bytes(const char *hex, unsigned char *out);

// JSON to bytes and back; free() the result. Options may be NULL.
char *fixture_convert(const char *type, const char *json, const struct nrpc_json_options *options);

// Bytes to JSON; free() the result.
char *fixture_print(const char *type, const char *hex, const struct nrpc_json_options *options);

// The JSON is refused with this code, the status's text containing `problem`.
void fixture_refuse(const char *type, const char *json, int code, const char *problem);
void fixture_refuse_wire(const char *type, const char *hex, int code, const char *problem);

#endif
