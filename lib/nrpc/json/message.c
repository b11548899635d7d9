// SPDX-License-Identifier: Apache-2.0
// message.c: JSON for messages of generated code: packed or unpacked on the way.
#include "nrpc/json/json.h"

#include "base/mem.h"

#include <stdlib.h>

static int find(const struct schema *schema, const ProtobufCMessageDescriptor *type,
                const struct schema_message **out, struct nrpc_status *st)
{
    *out = schema_message(schema, type->name);
    return *out ? NRPC_OK : status_set(st, NRPC_NOT_FOUND, "the schema has no %s", type->name);
}

int nrpc_json_from_message(const struct schema *schema, const ProtobufCMessage *message,
                           const struct nrpc_json_options *options, char **text, struct nrpc_status *st)
{
    const struct schema_message *type;
    int code = find(schema, message->descriptor, &type, st);
    if (code)
        return code;
    uint8_t *wire = mem_alloc(protobuf_c_message_get_packed_size(message));
    size_t size = protobuf_c_message_pack(message, wire);
    code = nrpc_json_from_wire(type, wire, size, options, text, st);
    free(wire);
    return code;
}

int nrpc_json_to_message(const struct schema *schema, const ProtobufCMessageDescriptor *descriptor,
                         const char *text, size_t length, const struct nrpc_json_options *options,
                         ProtobufCMessage **message, struct nrpc_status *st)
{
    const struct schema_message *type;
    uint8_t *wire;
    size_t size;
    int code = find(schema, descriptor, &type, st);
    if (!code)
        code = nrpc_json_to_wire(type, text, length, options, &wire, &size, st);
    if (code)
        return code;
    *message = protobuf_c_message_unpack(descriptor, NULL, size, wire);
    free(wire);
    if (!*message)
        return status_set(st, NRPC_INVALID_ARGUMENT, "the JSON lacks a field that %s requires",
                          descriptor->name);
    return status_ok(st);
}
