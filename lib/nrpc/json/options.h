// SPDX-License-Identifier: Apache-2.0
// options.h: the limits of both directions.
#ifndef NRPC_JSON_OPTIONS_H
#define NRPC_JSON_OPTIONS_H

#include "nrpc/json/json.h"

enum {
    DEPTH_MAX = 100, // of messages in messages: protobuf's own
    WIRE_BYTES_MAX = 4 << 20,
    TEXT_BYTES_MAX = 16 << 20,
};

// The options with nothing left open.
static inline struct nrpc_json_options options_settle(const struct nrpc_json_options *given)
{
    struct nrpc_json_options o = given ? *given : (struct nrpc_json_options){0};
    if (o.wire_bytes_max == 0)
        o.wire_bytes_max = WIRE_BYTES_MAX;
    if (o.text_bytes_max == 0)
        o.text_bytes_max = TEXT_BYTES_MAX;
    return o;
}

#endif
