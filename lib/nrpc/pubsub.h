// SPDX-License-Identifier: Apache-2.0
// pubsub.h: nrpc.v1.Event as it travels on a pub socket, read in place. Pure.
#ifndef NRPC_PUBSUB_H
#define NRPC_PUBSUB_H

#include "nrpc/nrpc.h"
#include "nrpc/wire.h"

struct pubsub_event {
    struct wire_bytes topic, payload;
    uint64_t sequence; // 0: not numbered
};

// What is in a message points into it. false: it is malformed, or has no topic or no payload.
bool pubsub_parse(const void *data, size_t size, struct pubsub_event *out);

#endif
