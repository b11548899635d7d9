// SPDX-License-Identifier: Apache-2.0
// json.h: protobuf messages as JSON and back, by protobuf's canonical JSON mapping, with types known at run
// time.
//
// Read: field names in lowerCamelCase or as declared; 64-bit integers as numbers or strings (a number beyond
// 63 bits only as a string); 1.0 as an integer; enums by name or number; base64 of both alphabets, padded or
// not. Written: what the mapping prescribes. Timestamp, Duration, FieldMask, Struct, Value, ListValue, Any
// and the wrappers have their own forms; the type in an Any must be in the same schema. Extensions are
// unknown fields, and groups that a message knows are refused.
//
// All functions are pure and may be called from any thread. Both sides may come from a stranger: sizes are
// limited, messages nest at most 100 deep, and the memory in use stays within a multiple of the input's size.
// A refusal says where: `tasks[3].deadline: "x" is no google.protobuf.Timestamp`.
#ifndef NRPC_JSON_JSON_H
#define NRPC_JSON_JSON_H

#include "nrpc/json/schema.h"

struct nrpc_json_options {
    bool emit_defaults;    // write fields that are zero and cannot tell that from not being set
    bool proto_names;      // write names as declared, not in lowerCamelCase
    bool pretty;           // write on several lines, indented by two spaces
    bool ignore_unknown;   // read over fields that the message does not have
    size_t wire_bytes_max; // of the message; 0: 4 MiB
    size_t text_bytes_max; // of its JSON; 0: 16 MiB
};

// Turns the message's bytes into JSON. *text is the caller's to free(), and ends in a NUL. options: NULL for
// none. Errors: INVALID_ARGUMENT (not such a message, text that is not UTF-8, a Timestamp out of range...),
// NOT_FOUND (a type in an Any), RESOURCE_EXHAUSTED (a limit), UNIMPLEMENTED (a group). *text then is left
// alone.
int nrpc_json_from_wire(const struct schema_message *type, const void *wire, size_t size,
                        const struct nrpc_json_options *options, char **text, struct nrpc_status *st);

// Turns JSON into the message's bytes. *wire is the caller's to free(). Errors as above.
int nrpc_json_to_wire(const struct schema_message *type, const char *text, size_t length,
                      const struct nrpc_json_options *options, uint8_t **wire, size_t *size,
                      struct nrpc_status *st);

// The same for messages of generated code; the schema must know their type (else NOT_FOUND). *message is
// freed with protobuf_c_message_free_unpacked(message, NULL).
int nrpc_json_from_message(const struct schema *schema, const ProtobufCMessage *message,
                           const struct nrpc_json_options *options, char **text, struct nrpc_status *st);
int nrpc_json_to_message(const struct schema *schema, const ProtobufCMessageDescriptor *descriptor,
                         const char *text, size_t length, const struct nrpc_json_options *options,
                         ProtobufCMessage **message, struct nrpc_status *st);

#endif
