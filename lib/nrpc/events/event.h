// SPDX-License-Identifier: Apache-2.0
// event.h: nrpc.v1.Event as it travels on a pub socket, and the names of topics. Pure functions.
#ifndef NRPC_EVENTS_EVENT_H
#define NRPC_EVENTS_EVENT_H

#include "nrpc/events/events.h"
#include "nrpc/pubsub.h"

// INVALID_ARGUMENT if it is no name of a topic.
int event_check_topic(const char *topic, struct nrpc_status *st);

// What is in a message points into it. false: it is malformed, or has no topic, no number or no payload.
bool event_parse(const void *data, size_t size, struct pubsub_event *out);

#endif
