// SPDX-License-Identifier: Apache-2.0
// log.c: the events that were published last, and the service nrpc.v1.Events over them.
//
// One mutex guards everything. An event is published under it, so that a topic's events leave in the order of
// their numbers; that does not block. Answers are copied under it and sent without it.
#include "nrpc/events/event.h"

#include "base/ids.h"
#include "base/mem.h"
#include "nrpc/v1/events.nrpc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    READ_EVENTS = 1000,
    READ_EVENTS_MAX = 10000,
    READ_BYTES = 1 << 20,
    READ_BYTES_MAX = 2 << 20,
    EVENT_OVERHEAD = 16, // in an answer, at most
    RING_MIN = 16,
};

struct stored {
    struct stored *next; // the next younger one, of any topic
    struct topic *topic;
    size_t size;
    uint8_t bytes[];
};

struct topic {
    UT_hash_handle hh;
    uint64_t last;        // sequence number; 0: none yet
    struct stored **ring; // the last `count` events
    size_t first, count, capacity;
    char name[];
};

struct nrpc_event_log {
    struct nrpc_publisher *publisher;
    uint64_t epoch;
    size_t max_events, max_bytes;
    pthread_mutex_t mu;
    struct topic *topics; // hash by name
    struct stored *oldest, **youngest;
    size_t count, bytes;
};

// ---- topics

static struct topic *find_topic(struct nrpc_event_log *log, const char *name)
{
    struct topic *t;
    HASH_FIND_STR(log->topics, name, t);
    return t;
}

static struct topic *add_topic(struct nrpc_event_log *log, const char *name)
{
    size_t size = strlen(name) + 1;
    struct topic *t = mem_calloc(1, sizeof *t + size);
    memcpy(t->name, name, size);
    HASH_ADD_STR(log->topics, name, t);
    return t;
}

// Event i of those that are there.
static struct stored **place(const struct topic *t, size_t i)
{
    return &t->ring[(t->first + i) & (t->capacity - 1)];
}

// capacity: a power of two.
static void resize(struct topic *t, size_t capacity)
{
    struct stored **ring = mem_alloc(capacity * sizeof(struct stored *));
    for (size_t i = 0; i < t->count; i++)
        ring[i] = *place(t, i);
    free(t->ring);
    t->ring = ring;
    t->first = 0;
    t->capacity = capacity;
}

static void push(struct nrpc_event_log *log, struct topic *t, struct stored *e)
{
    if (t->count == t->capacity)
        resize(t, t->capacity ? 2 * t->capacity : RING_MIN);
    t->count++;
    t->last++;
    *place(t, t->count - 1) = e;
    *log->youngest = e;
    log->youngest = &e->next;
    log->count++;
    log->bytes += e->size;
}

// The oldest of all is also the oldest of its topic.
static void drop_oldest(struct nrpc_event_log *log)
{
    struct stored *e = log->oldest;
    struct topic *t = e->topic;
    log->oldest = e->next;
    if (!log->oldest)
        log->youngest = &log->oldest;
    log->count--;
    log->bytes -= e->size;
    t->first = (t->first + 1) & (t->capacity - 1);
    t->count--;
    if (t->capacity > RING_MIN && t->count < t->capacity / 4)
        resize(t, t->capacity / 2);
    free(e);
}

// ---- appending

static struct stored *store(const ProtobufCMessage *event, size_t size)
{
    struct stored *e = mem_alloc(sizeof *e + size);
    *e = (struct stored){.size = size};
    protobuf_c_message_pack(event, e->bytes);
    return e;
}

int nrpc_event_log_append(struct nrpc_event_log *log, const char *topic, const ProtobufCMessage *event,
                          uint64_t *sequence, struct nrpc_status *st)
{
    size_t size = protobuf_c_message_get_packed_size(event);
    int code = event_check_topic(topic, st);
    if (code)
        return code;
    if (size > NRPC_EVENT_BYTES_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "an event of %zu bytes is over the limit of %d", size,
                          NRPC_EVENT_BYTES_MAX);
    struct stored *e = store(event, size);
    pthread_mutex_lock(&log->mu);
    struct topic *t = find_topic(log, topic);
    if (!t && HASH_COUNT(log->topics) >= NRPC_EVENT_TOPICS_MAX) {
        pthread_mutex_unlock(&log->mu);
        free(e);
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "there are %d topics already", NRPC_EVENT_TOPICS_MAX);
    }
    e->topic = t = t ? t : add_topic(log, topic);
    push(log, t, e);
    while (log->count > log->max_events || log->bytes > log->max_bytes)
        drop_oldest(log);
    if (sequence)
        *sequence = t->last;
    (void)nrpc_publish(log->publisher, topic, t->last, event, NULL); // who does not get it reads it
    pthread_mutex_unlock(&log->mu);
    return NRPC_OK;
}

// ---- the service

static uint64_t first_available(const struct topic *t)
{
    return t ? t->last - t->count + 1 : 1;
}

static uint64_t bounded(uint64_t wanted, uint64_t fallback, uint64_t most)
{
    return wanted == 0 ? fallback : wanted < most ? wanted : most;
}

// How many events from event `at` on fit into an answer.
static size_t count_fitting(const struct topic *t, size_t at, const Nrpc__V1__EventsReadRequest *q,
                            size_t *payload_bytes)
{
    uint64_t max_events = bounded(q->max_events, READ_EVENTS, READ_EVENTS_MAX);
    uint64_t max_bytes = bounded(q->max_bytes, READ_BYTES, READ_BYTES_MAX), bytes = 0;
    size_t n = 0;
    for (*payload_bytes = 0; at + n < t->count && n < max_events; n++) {
        size_t size = (*place(t, at + n))->size;
        bytes += size + EVENT_OVERHEAD;
        if (n && bytes > max_bytes)
            break;
        *payload_bytes += size;
    }
    return n;
}

// Copies events into memory of the call; false: there is not enough.
static bool copy_events(struct nrpc_call *call, const struct topic *t, const Nrpc__V1__EventsReadRequest *q,
                        Nrpc__V1__EventsReadResponse *r)
{
    uint64_t first = first_available(t);
    size_t at = q->after_sequence < first ? 0 : q->after_sequence - first + 1, bytes;
    if (q->after_sequence >= t->last)
        return true;
    size_t n = count_fitting(t, at, q, &bytes);
    Nrpc__V1__LoggedEvent *events = nrpc_call_alloc(call, n * sizeof *events);
    r->events = nrpc_call_alloc(call, n * sizeof(Nrpc__V1__LoggedEvent *));
    uint8_t *to = nrpc_call_alloc(call, bytes + 1);
    if (!events || !r->events || !to)
        return false;
    for (; r->n_events < n; r->n_events++) {
        const struct stored *e = *place(t, at + r->n_events);
        Nrpc__V1__LoggedEvent *copy = r->events[r->n_events] = &events[r->n_events];
        *copy = (Nrpc__V1__LoggedEvent)NRPC__V1__LOGGED_EVENT__INIT;
        copy->sequence = first + at + r->n_events;
        copy->payload = (ProtobufCBinaryData){e->size, to};
        memcpy(to, e->bytes, e->size);
        to += e->size;
    }
    return true;
}

static void on_read(struct nrpc_call *call, const Nrpc__V1__EventsReadRequest *q, void *user)
{
    struct nrpc_event_log *log = user;
    Nrpc__V1__EventsReadResponse r = NRPC__V1__EVENTS_READ_RESPONSE__INIT;
    pthread_mutex_lock(&log->mu);
    const struct topic *t = find_topic(log, q->topic);
    r.epoch = log->epoch;
    r.first_available = first_available(t);
    r.last_sequence = t ? t->last : 0;
    bool fits = !t || copy_events(call, t, q, &r);
    pthread_mutex_unlock(&log->mu);
    if (fits)
        nrpc_v1_events_read_reply(call, &r);
    else
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED,
                         "the events are over the server's limit of a message");
}

static void describe(Nrpc__V1__EventsTopic *out, const struct topic *t, const char *name)
{
    *out = (Nrpc__V1__EventsTopic)NRPC__V1__EVENTS_TOPIC__INIT;
    out->name = (char *)name; // a topic's own stays as long as the log
    out->first_available = first_available(t);
    out->last_sequence = t ? t->last : 0;
}

static void on_topics(struct nrpc_call *call, const Nrpc__V1__EventsTopicsRequest *q, void *user)
{
    struct nrpc_event_log *log = user;
    if (q->n_topics > NRPC_EVENT_TOPICS_MAX) {
        nrpc_reply_error(call, NRPC_INVALID_ARGUMENT, "at most %d topics", NRPC_EVENT_TOPICS_MAX);
        return;
    }
    Nrpc__V1__EventsTopicsResponse r = NRPC__V1__EVENTS_TOPICS_RESPONSE__INIT;
    pthread_mutex_lock(&log->mu);
    r.epoch = log->epoch;
    size_t n = q->n_topics ? q->n_topics : HASH_COUNT(log->topics);
    Nrpc__V1__EventsTopic *topics = nrpc_call_alloc(call, n * sizeof *topics);
    r.topics = nrpc_call_alloc(call, n * sizeof(Nrpc__V1__EventsTopic *));
    bool fits = topics && r.topics;
    r.n_topics = fits ? n : 0;
    const struct topic *t = log->topics;
    for (size_t i = 0; i < r.n_topics; i++) {
        r.topics[i] = &topics[i];
        if (q->n_topics)
            describe(&topics[i], find_topic(log, q->topics[i]), q->topics[i]);
        else
            describe(&topics[i], t, t->name);
        t = q->n_topics ? NULL : t->hh.next;
    }
    pthread_mutex_unlock(&log->mu);
    if (fits)
        nrpc_v1_events_topics_reply(call, &r);
    else
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED,
                         "the topics are over the server's limit of a message");
}

int nrpc_event_log_add(struct nrpc_event_log *log, struct nrpc_server *server, struct nrpc_status *st)
{
    static const struct nrpc_v1_events_handlers handlers = {.read = on_read, .topics = on_topics};
    return nrpc_v1_events_register(server, NRPC_INLINE, &handlers, log, st);
}

// ---- life

struct nrpc_event_log *nrpc_event_log_create(const struct nrpc_event_log_options *options,
                                             struct nrpc_publisher *publisher)
{
    struct nrpc_event_log *log = mem_calloc(1, sizeof *log);
    log->publisher = publisher;
    log->epoch = ids_random();
    log->max_events = options && options->max_events ? options->max_events : 65536;
    log->max_bytes = options && options->max_bytes ? options->max_bytes : 64 << 20;
    if (log->max_bytes < NRPC_EVENT_BYTES_MAX)
        log->max_bytes = NRPC_EVENT_BYTES_MAX;
    log->youngest = &log->oldest;
    pthread_mutex_init(&log->mu, NULL);
    return log;
}

uint64_t nrpc_event_log_epoch(const struct nrpc_event_log *log)
{
    return log->epoch;
}

void nrpc_event_log_destroy(struct nrpc_event_log *log)
{
    if (!log)
        return;
    while (log->count)
        drop_oldest(log);
    struct topic *t, *tmp;
    HASH_ITER(hh, log->topics, t, tmp)
    {
        HASH_DEL(log->topics, t);
        free(t->ring);
        free(t);
    }
    pthread_mutex_destroy(&log->mu);
    free(log);
}
