// SPDX-License-Identifier: Apache-2.0
// event_fuzz.c: events that a publisher sends, and answers of its service, of any kind. The first byte of the
// input chooses: p the parser, s a subscriber, r a reader whose publisher and service both say what the input
// says.
//
// Besides not crashing: what the parser reads is what protobuf-c reads; a subscriber goes on; a reader
// delivers in order and without a gap, but for what it says is lost, and can always be closed.
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "nrpc/events/event.h"
#include "nrpc/transport.h"
#include "nrpc/v1/events.nrpc.h"
#include "nrpc/v1/frame.pb-c.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) ((condition) ? (void)0 : fail(__LINE__, #condition))

_Noreturn static void fail(int line, const char *condition)
{
    fprintf(stderr, "event_fuzz.c:%d: %s\n", line, condition);
    abort();
}

enum { WAIT_MS = 20000, EVENT_BYTES = 64 };
static char *pub_url;
static nng_socket pub;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

// ---- the parser

static bool is_same(struct wire_bytes a, const void *data, size_t size)
{
    return a.size == size && (!size || !memcmp(a.data, data, size));
}

static void fuzz_parser(const uint8_t *data, size_t size)
{
    struct pubsub_event e;
    if (!event_parse(data, size, &e))
        return;
    Nrpc__V1__Event *m = nrpc__v1__event__unpack(NULL, size, data);
    if (!m) // it is stricter with fields of another type
        return;
    CHECK(m->sequence == e.sequence && e.sequence < UINT64_MAX);
    CHECK(is_same(e.payload, m->payload.data, m->payload.len));
    CHECK(!strncmp((const char *)e.topic.data, m->topic, e.topic.size));
    nrpc__v1__event__free_unpacked(m, NULL);
}

// ---- a subscriber

static void send_raw(const void *data, size_t size)
{
    nng_msg *msg;
    CHECK(!nng_msg_alloc(&msg, size));
    if (size)
        memcpy(nng_msg_body(msg), data, size);
    CHECK(!nng_sendmsg(pub, msg, 0));
}

static _Atomic uint64_t last_seen;
enum { LAST = 1 << 30 };

static void on_event(void *user, const struct nrpc_event *e)
{
    (void)user;
    CHECK(e->topic[0] == 'a' && !e->topic[1] && e->payload);
    CHECK(!e->payload_bytes || ((const uint8_t *)e->payload)[e->payload_bytes - 1] <= UINT8_MAX);
    atomic_store(&last_seen, e->sequence);
}

static size_t write_event(uint8_t out[EVENT_BYTES], uint64_t sequence, uint8_t content)
{
    uint8_t *at = wire_write_bytes(out, 1, "a", 1);
    at = wire_write_number(at, 2, sequence);
    return (size_t)(wire_write_bytes(at, 3, &content, 1) - out);
}

// The rest of the input as messages, each after its length; then one that must arrive.
static void fuzz_subscriber(const uint8_t *data, size_t size)
{
    static struct nrpc_subscriber *subscriber;
    static const char *const topics[] = {"a"};
    struct nrpc_status st;
    if (!subscriber)
        CHECK(!nrpc_subscriber_open(pub_url, topics, 1, on_event, NULL, &subscriber, &st));
    for (size_t at = 0; at < size;) {
        size_t n = data[at++];
        n = n < size - at ? n : size - at;
        send_raw(data + at, n);
        at += n;
    }
    static uint64_t last = LAST;
    uint8_t event[EVENT_BYTES];
    size_t event_size = write_event(event, ++last, 0);
    for (int64_t end_us = clock_mono_us() + WAIT_MS * 1000; atomic_load(&last_seen) != last; nap()) {
        CHECK(clock_mono_us() < end_us);
        send_raw(event, event_size);
    }
}

// ---- a reader

struct source { // says what the input says, one answer after the other
    pthread_mutex_t mu;
    const uint8_t *at, *end;
    _Atomic bool is_over;
    uint64_t position; // of the reader; UINT64_MAX: it has not said
};

static uint8_t take(struct source *s)
{
    if (s->at < s->end)
        return *s->at++;
    atomic_store(&s->is_over, true);
    return 0;
}

enum { HUGE = 200, HAS_EVENT = 4 };

static uint64_t take_number(struct source *s)
{
    uint8_t b = take(s);
    return b < HUGE ? b : UINT64_MAX - (uint64_t)(UINT8_MAX - b);
}

static uint64_t take_epoch(struct source *s)
{
    uint8_t b = take(s);
    if (b & HAS_EVENT) { // and something is published
        uint8_t event[EVENT_BYTES];
        send_raw(event, write_event(event, take_number(s), b));
    }
    return b % HAS_EVENT;
}

static void on_topics(struct nrpc_call *call, const Nrpc__V1__EventsTopicsRequest *q, void *user)
{
    struct source *s = user;
    Nrpc__V1__EventsTopicsResponse r = NRPC__V1__EVENTS_TOPICS_RESPONSE__INIT;
    Nrpc__V1__EventsTopic topic = NRPC__V1__EVENTS_TOPIC__INIT, *topics[] = {&topic, &topic};
    pthread_mutex_lock(&s->mu);
    uint8_t kind = take(s);
    r.epoch = take_epoch(s);
    topic.first_available = take_number(s);
    topic.last_sequence = take_number(s);
    pthread_mutex_unlock(&s->mu);
    topic.name = kind == 1 ? (char *)"other" : q->topics[0];
    r.topics = topics;
    r.n_topics = kind == 2 ? 2 : kind == 3 ? 0 : 1;
    if (kind == 4)
        nrpc_reply_error(call, NRPC_ABORTED, "not now");
    else
        nrpc_v1_events_topics_reply(call, &r);
}

static void on_read(struct nrpc_call *call, const Nrpc__V1__EventsReadRequest *q, void *user)
{
    enum { EVENTS_MAX = 8 };
    struct source *s = user;
    Nrpc__V1__EventsReadResponse r = NRPC__V1__EVENTS_READ_RESPONSE__INIT;
    Nrpc__V1__LoggedEvent events[EVENTS_MAX], *list[EVENTS_MAX];
    pthread_mutex_lock(&s->mu);
    uint8_t kind = take(s), count = take(s) % (EVENTS_MAX + 1);
    r.epoch = take_epoch(s);
    r.first_available = take_number(s);
    r.last_sequence = take_number(s);
    uint64_t first = kind == 1 ? take_number(s) : q->after_sequence + 1;
    pthread_mutex_unlock(&s->mu);
    for (r.events = list; r.n_events < count; r.n_events++) {
        Nrpc__V1__LoggedEvent *e = list[r.n_events] = &events[r.n_events];
        *e = (Nrpc__V1__LoggedEvent)NRPC__V1__LOGGED_EVENT__INIT;
        e->sequence = kind == 2 ? first : first + r.n_events;
    }
    if (kind == 4)
        nrpc_reply_error(call, NRPC_ABORTED, "not now");
    else
        nrpc_v1_events_read_reply(call, &r);
}

static void on_reader_event(void *user, const struct nrpc_reader_event *e)
{
    struct source *s = user;
    CHECK(e->epoch && e->payload);
    CHECK(s->position == UINT64_MAX || e->sequence == s->position + 1);
    s->position = e->sequence;
}

static void on_reader_loss(void *user, const struct nrpc_reader_loss *l)
{
    struct source *s = user;
    CHECK(l->epoch && l->from && (!l->to || l->from <= l->to));
    CHECK(s->position == UINT64_MAX || l->from == s->position + 1);
    s->position = l->to;
}

static void fuzz_reader(const uint8_t *data, size_t size)
{
    static const struct nrpc_v1_events_handlers handlers = {.read = on_read, .topics = on_topics};
    struct source s = {
        .mu = PTHREAD_MUTEX_INITIALIZER, .at = data, .end = data + size, .position = UINT64_MAX};
    struct nrpc_server *server = nrpc_server_create(NULL);
    struct nrpc_reader_topic topic = {.name = "a"};
    struct nrpc_event_reader *reader;
    struct nrpc_status st;
    topic.start = take(&s) % 3;
    topic.sequence = take(&s);
    topic.epoch = take(&s) % 4;
    CHECK(!nrpc_v1_events_register(server, NRPC_INLINE, &handlers, &s, &st));
    struct nrpc_event_reader_options o = {
        .url = pub_url,
        .channel = nrpc_channel_local(server),
        .topics = &topic,
        .topic_count = 1,
        .on_event = on_reader_event,
        .on_loss = on_reader_loss,
        .user = &s,
        .check_ms = 1,
        .max_held = 4,
    };
    CHECK(!nrpc_event_reader_open(&o, &reader, &st));
    for (int64_t end_us = clock_mono_us() + WAIT_MS * 1000; !atomic_load(&s.is_over); nap())
        CHECK(clock_mono_us() < end_us);
    nrpc_event_reader_close(reader);
    nrpc_channel_close(o.channel);
    nrpc_server_destroy(server);
}

static const struct {
    uint8_t letter;
    void (*run)(const uint8_t *data, size_t size);
} targets[] = {{'p', fuzz_parser}, {'s', fuzz_subscriber}, {'r', fuzz_reader}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_open;
    if (!is_open) {
        log_set_level(LOG_ERROR);
        nng_listener listener;
        CHECK(!nng_pub0_open(&pub) && !nng_listen(pub, "tcp://127.0.0.1:0", &listener, 0));
        nng_sockaddr sa;
        CHECK(nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &sa) == 0);
        pub_url = transport_real_url("tcp://127.0.0.1:0", &sa);
        is_open = true;
    }
    for (size_t i = 0; size && i < sizeof targets / sizeof *targets; i++)
        if (data[0] == targets[i].letter)
            targets[i].run(data + 1, size - 1);
    return 0;
}
