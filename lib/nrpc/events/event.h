// SPDX-License-Identifier: Apache-2.0
// event.h: nrpc.v1.Event as it travels on a pub socket, and the names of topics. Pure functions.
#ifndef NRPC_EVENTS_EVENT_H
#define NRPC_EVENTS_EVENT_H

#include "nrpc/events/events.h"
#include "nrpc/wire.h"

enum { EVENT_PREFIX_MAX = NRPC_EVENT_TOPIC_MAX + 8 };

struct event {
    struct wire_bytes topic, payload;
    uint64_t sequence;
};

// INVALID_ARGUMENT if it is no name of a topic.
int event_check_topic(const char *topic, struct nrpc_status *st);

// The bytes that all messages of a topic begin with; returns their number.
size_t event_prefix(const char *topic, uint8_t out[EVENT_PREFIX_MAX]);

// What is in a message points into it. false: it is malformed, or has no topic, no number or no payload.
bool event_parse(const void *data, size_t size, struct event *out);

#endif
