// SPDX-License-Identifier: Apache-2.0
// event.c: what an event must have to be kept in a log.
#include "nrpc/events/event.h"

#include "base/utf8.h"

#include <string.h>

int event_check_topic(const char *topic, struct nrpc_status *st)
{
    size_t size = strlen(topic);
    if (size < 1 || size > NRPC_EVENT_TOPIC_MAX || !utf8_is_valid(topic))
        return status_set(st, NRPC_INVALID_ARGUMENT, "a topic of %zu bytes; it must be 1 to %d of UTF-8",
                          size, NRPC_EVENT_TOPIC_MAX);
    return NRPC_OK;
}

bool event_parse(const void *data, size_t size, struct pubsub_event *out)
{
    return pubsub_parse(data, size, out) && out->sequence &&
           out->sequence < UINT64_MAX; // there is always a next one
}
