// SPDX-License-Identifier: Apache-2.0
// pubsub.c: events on nng PUB/SUB sockets, as nrpc.v1.Event. The topic is the first field of the message, so
// that its encoding is the prefix that an SP subscription selects by.
#include "nrpc/nrpc.h"

#include "base/mem.h"
#include "nrpc/transport.h"
#include "nrpc/wire.h"

#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_MAX = 100, QUEUE = 1024 };
enum { TOPIC = 1, SEQUENCE = 2, PAYLOAD = 3 }; // the numbers in nrpc.v1.Event

struct nrpc_publisher {
    nng_socket socket;
    char *url;
};

struct topic_seen {
    char *name;
    uint64_t last; // sequence; 0: none yet
};

struct nrpc_subscriber {
    nng_socket socket;
    nng_aio *aio;
    nrpc_event_fn on_event;
    void *user;
    struct topic_seen *topics;
    size_t topic_count;
};

int nrpc_publisher_open(const char *url, struct nrpc_publisher **out, struct nrpc_status *st)
{
    char what[300];
    snprintf(what, sizeof what, "cannot publish events on %s", url);
    struct nrpc_publisher *p = mem_calloc(1, sizeof *p);
    *out = NULL;
    int rv = nng_pub0_open(&p->socket);
    if (rv) {
        free(p);
        return transport_error(st, rv, what);
    }
    nng_listener listener;
    int code = transport_tune(p->socket, 1024, QUEUE, st);
    if (code == NRPC_OK && (rv = nng_listen(p->socket, url, &listener, 0)))
        code = transport_error(st, rv, what);
    if (code) {
        nrpc_publisher_close(p);
        return code;
    }
    p->url = transport_listener_url(listener, url);
    *out = p;
    return NRPC_OK;
}

const char *nrpc_publisher_url(const struct nrpc_publisher *p)
{
    return p->url;
}

static uint8_t *write_topic(uint8_t *p, const char *topic)
{
    return wire_write_bytes(p, TOPIC, topic, strlen(topic));
}

int nrpc_publish(struct nrpc_publisher *p, const char *topic, uint64_t sequence,
                 const ProtobufCMessage *event, struct nrpc_status *st)
{
    size_t n = strlen(topic), payload = protobuf_c_message_get_packed_size(event);
    if (n < 1 || n > TOPIC_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "topic of %zu bytes; 1 to %d are allowed", n, TOPIC_MAX);
    if (payload > NRPC_DEFAULT_MAX_MESSAGE)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "event of %zu bytes is over the limit", payload);
    uint8_t head[TOPIC_MAX + 32], *at = write_topic(head, topic);
    at = wire_write_number(at, SEQUENCE, sequence);
    at = wire_write_bytes(at, PAYLOAD, NULL, payload);
    nng_msg *msg;
    int rv = nng_msg_alloc(&msg, (size_t)(at - head) + payload);
    if (rv)
        return transport_error(st, rv, "cannot make an event");
    memcpy(nng_msg_body(msg), head, (size_t)(at - head));
    protobuf_c_message_pack(event, (uint8_t *)nng_msg_body(msg) + (at - head));
    rv = nng_sendmsg(p->socket, msg, NNG_FLAG_NONBLOCK);
    if (rv) {
        nng_msg_free(msg);
        return transport_error(st, rv, "cannot publish");
    }
    return NRPC_OK;
}

void nrpc_publisher_close(struct nrpc_publisher *p)
{
    if (!p)
        return;
    nng_close(p->socket);
    free(p->url);
    free(p);
}

// ---- subscriber

// Reads the event after its topic (of which the subscription has made sure).
static bool read_event(const uint8_t *at, const uint8_t *end, struct nrpc_event *e)
{
    struct wire_reader r = {at, end};
    struct wire_item i;
    while (r.at < r.end) {
        if (!wire_next(&r, &i))
            return false;
        if (i.type == WIRE_VARINT && i.number == SEQUENCE)
            e->sequence = i.varint;
        if (i.type == WIRE_BYTES && i.number == PAYLOAD) {
            e->payload = i.bytes.data;
            e->payload_bytes = i.bytes.size;
        }
    }
    return e->payload != NULL;
}

static void take_event(struct nrpc_subscriber *s, nng_msg *msg)
{
    const uint8_t *body = nng_msg_body(msg), *end = body + nng_msg_len(msg);
    for (size_t i = 0; i < s->topic_count; i++) {
        struct topic_seen *t = &s->topics[i];
        uint8_t head[TOPIC_MAX + 8];
        size_t n = (size_t)(write_topic(head, t->name) - head);
        struct nrpc_event e = {.topic = t->name};
        if ((size_t)(end - body) < n || memcmp(body, head, n) || !read_event(body + n, end, &e))
            continue;
        if (e.sequence && t->last && e.sequence > t->last + 1)
            e.missed = e.sequence - t->last - 1;
        if (e.sequence)
            t->last = e.sequence;
        s->on_event(s->user, &e);
        return;
    }
}

static void received(void *arg)
{
    struct nrpc_subscriber *s = arg;
    int rv = nng_aio_result(s->aio);
    if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        return;
    if (rv == 0) {
        nng_msg *msg = nng_aio_get_msg(s->aio);
        take_event(s, msg);
        nng_msg_free(msg);
    }
    nng_recv_aio(s->socket, s->aio);
}

static int subscribe(struct nrpc_subscriber *s, const char *const *topics, struct nrpc_status *st)
{
    for (size_t i = 0; i < s->topic_count; i++) {
        if (strlen(topics[i]) < 1 || strlen(topics[i]) > TOPIC_MAX)
            return status_set(st, NRPC_INVALID_ARGUMENT, "topic \"%s\": 1 to %d bytes are allowed", topics[i],
                              TOPIC_MAX);
        uint8_t head[TOPIC_MAX + 8];
        s->topics[i].name = mem_strdup(topics[i]);
        int rv = nng_socket_set(s->socket, NNG_OPT_SUB_SUBSCRIBE, head,
                                (size_t)(write_topic(head, topics[i]) - head));
        if (rv)
            return transport_error(st, rv, "cannot subscribe");
    }
    return NRPC_OK;
}

int nrpc_subscriber_open(const char *url, const char *const *topics, size_t topic_count,
                         nrpc_event_fn on_event, void *user, struct nrpc_subscriber **out,
                         struct nrpc_status *st)
{
    *out = NULL;
    struct nrpc_subscriber *s = mem_calloc(1, sizeof *s);
    *s = (struct nrpc_subscriber){.on_event = on_event, .user = user, .topic_count = topic_count};
    int rv = nng_sub0_open(&s->socket);
    if (rv) {
        free(s);
        return transport_error(st, rv, "cannot subscribe");
    }
    s->topics = mem_calloc(topic_count, sizeof *s->topics);
    int code = subscribe(s, topics, st);
    if (code == NRPC_OK)
        code = transport_tune(s->socket, NRPC_DEFAULT_MAX_MESSAGE, QUEUE, st);
    if (code == NRPC_OK && ((rv = nng_aio_alloc(&s->aio, received, s)) ||
                            (rv = nng_dial(s->socket, url, NULL, NNG_FLAG_NONBLOCK))))
        code = transport_error(st, rv, "cannot subscribe");
    if (code) {
        nrpc_subscriber_close(s);
        return code;
    }
    nng_recv_aio(s->socket, s->aio);
    *out = s;
    return NRPC_OK;
}

void nrpc_subscriber_close(struct nrpc_subscriber *s)
{
    if (!s)
        return;
    if (!transport_close(s->socket, s->aio))
        return; // nng may still call back: the subscriber stays
    for (size_t i = 0; i < s->topic_count; i++)
        free(s->topics[i].name);
    free(s->topics);
    free(s);
}
