// SPDX-License-Identifier: Apache-2.0
// pubsub.c: events over SP's PUB/SUB protocol, as nrpc.v1.Event. The topic is the first field of the message,
// so that its encoding is the prefix that a subscription of nng's own sockets selects by.
#include "nrpc/pubsub.h"

#include "base/mem.h"
#include "nrpc/sp.h"
#include "nrpc/transport.h"

#include <nng/protocol/pubsub0/pub.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_MAX = 100, QUEUE = 1024, RECEIVE_MAX = 1024, RECONNECT_MIN_MS = 20, RECONNECT_MAX_MS = 1000 };
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
    struct sp_dialer *dialer;
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
    nng_sockaddr sa;
    if ((rv = nng_socket_set_size(p->socket, NNG_OPT_RECVMAXSZ, RECEIVE_MAX)) ||
        (rv = nng_socket_set_int(p->socket, NNG_OPT_SENDBUF, QUEUE)) ||
        (rv = nng_listen(p->socket, url, &listener, 0))) {
        nrpc_publisher_close(p);
        return transport_error(st, rv, what);
    }
    rv = nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &sa);
    p->url = transport_real_url(url, rv ? NULL : &sa);
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
    if (transport_check_bytes("an event", payload, NRPC_DEFAULT_MAX_MESSAGE, st))
        return NRPC_RESOURCE_EXHAUSTED;
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

bool pubsub_parse(const void *data, size_t size, struct pubsub_event *out)
{
    *out = (struct pubsub_event){0};
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
    return out->topic.size && out->payload.data;
}

static struct topic_seen *find_topic(struct nrpc_subscriber *s, struct wire_bytes name)
{
    for (size_t i = 0; i < s->topic_count; i++)
        if (strlen(s->topics[i].name) == name.size && !memcmp(s->topics[i].name, name.data, name.size))
            return &s->topics[i];
    return NULL;
}

static void received(void *owner, struct sp_pipe *pipe, nng_msg *msg, uint32_t id)
{
    struct nrpc_subscriber *s = owner;
    struct pubsub_event in;
    (void)pipe;
    (void)id;
    bool good = pubsub_parse(nng_msg_body(msg), nng_msg_len(msg), &in);
    struct topic_seen *t = good ? find_topic(s, in.topic) : NULL;
    if (t) {
        struct nrpc_event e = {t->name, in.sequence, 0, in.payload.data, in.payload.size};
        if (e.sequence && t->last && e.sequence > t->last)
            e.missed = e.sequence - t->last - 1;
        if (e.sequence)
            t->last = e.sequence;
        s->on_event(s->user, &e);
    }
    nng_msg_free(msg);
}

static void came_or_went(void *owner, struct sp_pipe *pipe)
{
    (void)owner;
    (void)pipe;
}

int nrpc_subscriber_open(const char *url, const char *const *topics, size_t topic_count,
                         nrpc_event_fn on_event, void *user, struct nrpc_subscriber **out,
                         struct nrpc_status *st)
{
    static const struct sp_events events = {
        .opened = came_or_went, .received = received, .closed = came_or_went};
    *out = NULL;
    for (size_t i = 0; i < topic_count; i++)
        if (strlen(topics[i]) < 1 || strlen(topics[i]) > TOPIC_MAX)
            return status_set(st, NRPC_INVALID_ARGUMENT, "topic \"%s\": 1 to %d bytes are allowed", topics[i],
                              TOPIC_MAX);
    struct nrpc_subscriber *s = mem_calloc(1, sizeof *s);
    *s = (struct nrpc_subscriber){.on_event = on_event, .user = user, .topic_count = topic_count};
    s->topics = mem_calloc(topic_count, sizeof *s->topics);
    for (size_t i = 0; i < topic_count; i++)
        s->topics[i].name = mem_strdup(topics[i]);
    const struct sp_options options = {
        .events = &events,
        .owner = s,
        .max_bytes = NRPC_DEFAULT_MAX_MESSAGE + TRANSPORT_FRAME_ROOM,
        .reconnect_min_ms = RECONNECT_MIN_MS,
        .reconnect_max_ms = RECONNECT_MAX_MS,
        .subscribes = true,
    };
    int code = sp_dial(url, &options, &s->dialer, st);
    if (code) {
        nrpc_subscriber_close(s);
        return code;
    }
    *out = s;
    return NRPC_OK;
}

void nrpc_subscriber_close(struct nrpc_subscriber *s)
{
    if (!s)
        return;
    sp_dialer_close(s->dialer);
    for (size_t i = 0; i < s->topic_count; i++)
        free(s->topics[i].name);
    free(s->topics);
    free(s);
}
