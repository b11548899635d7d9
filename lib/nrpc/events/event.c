// SPDX-License-Identifier: Apache-2.0
// event.c: reads nrpc.v1.Event in place.
#include "nrpc/events/event.h"

#include "base/utf8.h"

#include <string.h>

enum { TOPIC = 1, SEQUENCE = 2, PAYLOAD = 3 }; // the numbers in nrpc.v1.Event

int event_check_topic(const char *topic, struct nrpc_status *st)
{
    size_t size = strlen(topic);
    if (size < 1 || size > NRPC_EVENT_TOPIC_MAX || !utf8_is_valid(topic))
        return status_set(st, NRPC_INVALID_ARGUMENT, "a topic of %zu bytes; it must be 1 to %d of UTF-8",
                          size, NRPC_EVENT_TOPIC_MAX);
    return NRPC_OK;
}

bool event_parse(const void *data, size_t size, struct event *out)
{
    *out = (struct event){0};
    if (!size)
        return false;
    struct wire_reader r = {data, (const uint8_t *)data + size};
    while (r.at < r.end) {
        struct wire_item i;
        if (!wire_next(&r, &i))
            return false;
        if (i.type == WIRE_VARINT && i.number == SEQUENCE)
            out->sequence = i.varint;
        else if (i.type == WIRE_BYTES && i.number == TOPIC)
            out->topic = i.bytes;
        else if (i.type == WIRE_BYTES && i.number == PAYLOAD)
            out->payload = i.bytes;
    }
    bool is_numbered = out->sequence && out->sequence < UINT64_MAX; // there is always a next one
    return out->topic.size && is_numbered && out->payload.data;
}
